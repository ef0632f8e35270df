"""The files of one configuration, read and merged into one tree.

Knows `include`: which files it names and how two files become one. It must not know what the keys
mean, except which mappings hold names.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.config.interpolate import Interpolator
from gateway.config.problems import KeyPath, Place, Report, quoted
from gateway.config.tree import Node, read_tree

FILE_BYTES_MAX: Final = 32 * 2**20

_NAMESPACES: Final = frozenset({("scopes", "bundles")})
"""Mappings below a section that hold names, and so are merged like the sections themselves."""


def read_files(path: Path, environ: Mapping[str, str], report: Report) -> Node | None:
    """Return the tree of the file at `path` with all that it includes, or None if it is no YAML."""
    interpolator = Interpolator(environ, path.parent, report.reading)
    report.outside = interpolator.outside
    root = _read(path, interpolator, report)
    if root is None or not isinstance(root.value, dict):
        return root
    for included in _included(root.value.get("include"), path, report):
        other = _read(included, interpolator, report)
        if other is None:
            continue
        if isinstance(other.value, dict):
            _adopt(root, other, report)
        else:
            report.add(other.place, (), "an included file must be a mapping")
    return root


def _read(path: Path, interpolator: Interpolator, report: Report) -> Node | None:
    try:
        content = report.reading.text(path, FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            message = "is larger than 32 MiB"
        else:
            return read_tree(content.decode("utf-8-sig"), str(path), interpolator, report)
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    report.add(Place(str(path)), (), message)
    report.is_complete = False
    return None


def _included(node: Node | None, main: Path, report: Report) -> list[Path]:
    """Return the files that `include` names: once each, in a stable order, not the main file."""
    found: dict[Path, None] = {}
    for item in node.children() if node is not None else ():
        if not isinstance(item.value, str):
            continue  # the model says that it must be text
        matches = report.reading.matches(str(main.parent / item.value))
        if not matches and not glob.has_magic(item.value):
            path: KeyPath = ("include", item.name)
            report.add(item.place, path, f"the file {quoted(item.value)} does not exist")
            report.is_complete = False
        found.update(dict.fromkeys(map(Path, matches)))
    return [path for path in found if not report.reading.is_same(path, main)]


def _adopt(root: Node, other: Node, report: Report) -> None:
    """Merge an included file into the main one; only the main one includes and has a version."""
    assert isinstance(other.value, dict)
    if include := other.value.pop("include", None):
        message = "only the main file may include others"
        report.add(include.key_place, ("include",), message)
    mine = root.value.get("version") if isinstance(root.value, dict) else None
    version = other.value.get("version")
    if version is not None and mine is not None and version.value == mine.value:
        del other.value["version"]  # repeated for editors, which check each file alone
    _merge(root, other, (), report)


def _merge(into: Node, other: Node, path: KeyPath, report: Report) -> None:
    if isinstance(into.value, list) and isinstance(other.value, list):
        for child in other.value:
            child.name = len(into.value)
            into.value.append(child)
    elif isinstance(into.value, dict) and isinstance(other.value, dict) and _is_open(path):
        for name, child in other.value.items():
            if name in into.value:
                _merge(into.value[name], child, (*path, name), report)
            else:
                into.value[name] = child
    else:
        hint = f"first given at {into.key_place}"
        report.add(other.key_place, path, "duplicate key", hint)


def _is_open(path: KeyPath) -> bool:
    return len(path) < 2 or path in _NAMESPACES
