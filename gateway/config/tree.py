"""YAML text as a tree that remembers where everything stands.

Knows YAML 1.2 (through ruamel): scalars, duplicate keys, anchors, merge keys. It must not know what
the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner

from gateway.config.interpolate import Interpolator, UnresolvedError
from gateway.config.problems import KeyPath, Place, Report, quoted

NODES_MAX: Final = 1_000_000
"""About 50 000 routes. Aliases of aliases grow without bound otherwise."""

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = "<<"


class _Broken:
    """Stands for a value that could not be read; its problem is reported already."""

    __slots__ = ()


BROKEN: Final = _Broken()

Scalar = str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Node:
    """One value: `name` is its key or index in the source, `key_place` where the key stands."""

    name: str | int
    key_place: Place
    place: Place
    value: dict[str, Node] | list[Node] | Scalar | _Broken

    def plain(self) -> object:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def children(self) -> list[Node]:
        """Return the values inside, in order; a scalar has none."""
        if isinstance(self.value, dict):
            return list(self.value.values())
        return self.value if isinstance(self.value, list) else []

    def broken(self, path: KeyPath = ()) -> Iterator[KeyPath]:
        """Yield the paths of values that could not be read."""
        if self.value is BROKEN:
            yield path
        for child in self.children():
            yield from child.broken((*path, child.name))


def read_tree(
    text: str,
    file: str,
    interpolator: Interpolator,
    report: Report,
    *,
    nodes_max: int = NODES_MAX,
) -> Node | None:
    """Return the tree of `text`, or None when it is not YAML; every problem goes to `report`."""
    try:
        root = _yaml().compose(text)
        place = Place(file, 1, 1)
        if root is None:
            return Node("", place, place, {})
        return _Reader(file, interpolator, report, nodes_max).node(root, (), "", place)
    except RecursionError:
        report.add(Place(file), (), "is nested too deep")
    except _TooLargeError:
        report.add(Place(file), (), f"holds more than {nodes_max} values, aliases included")
    except YAMLError as error:
        report.add(_place_of(error, text, file), (), f"is not YAML: {_what(error)}")
    report.is_complete = False
    return None


_LINES_WITHOUT_VALUES: Final = re.compile(r"(?: *(?:#[^\n\r\0\x85\u2028\u2029\uFEFF]*)?\n)+")
"""What is left of a line behind a value, and lines of nothing but a comment. Other ends of lines are left to ruamel."""


class _Scanner(Scanner):
    """Steps over comments in one go, where ruamel goes letter by letter: most of the shipped file is comments."""

    def scan_to_next_token(self) -> None:
        reader = self.reader
        if lines := _LINES_WITHOUT_VALUES.match(reader.buffer, reader.pointer):
            length = lines.end() - lines.start()
            reader.pointer += length
            reader.index += length
            reader.line += lines[0].count("\n")
            reader.column = 0
            if not self.flow_level:
                self.allow_simple_key = True
        super().scan_to_next_token()


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    return yaml


class _TooLargeError(Exception):
    """The document is larger than any real configuration."""


class _Reader:
    """Turns one composed document into nodes."""

    def __init__(
        self, file: str, interpolator: Interpolator, report: Report, nodes_max: int
    ) -> None:
        self._nodes_max = nodes_max
        self._file = file
        self._interpolator = interpolator
        self._report = report
        self._open: set[int] = set()
        self._count = 0

    def _place(self, node: YamlNode) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def node(self, source: YamlNode, path: KeyPath, name: str | int, key_place: Place) -> Node:
        self._count += 1
        if self._count > self._nodes_max:
            raise _TooLargeError
        place = self._place(source)
        if id(source) in self._open:
            self._report.add(place, path, "contains itself through an alias")
            return Node(name, key_place, place, BROKEN)
        self._open.add(id(source))
        result = Node(name, key_place, place, None)
        if isinstance(source, MappingNode):
            result.value = self._mapping(source, path)
        elif isinstance(source, SequenceNode):
            result.value = [
                self.node(item, (*path, n), n, self._place(item))
                for n, item in enumerate(source.value)
            ]
        elif isinstance(source, ScalarNode):
            if source.value == "" and source.style is None:
                result.place = key_place  # an empty value has no place of its own
            result.value = self._scalar(source, path, result.place)
        self._open.discard(id(source))
        return result

    def _mapping(self, source: MappingNode, path: KeyPath) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: list[YamlNode] = []
        for key, value in source.value:
            if not isinstance(key, ScalarNode):
                self._report.add(self._place(key), path, "a key must be text")
            elif key.value == _MERGE and key.tag == f"{_TAG}merge":
                merged.append(value)
            else:
                self._entry(entries, key, value, path)
        for value in merged:
            for child in self._merged(value, path):
                entries.setdefault(str(child.name), child)
        return entries

    def _entry(
        self, entries: dict[str, Node], key: ScalarNode, value: YamlNode, path: KeyPath
    ) -> None:
        name, place = str(key.value), self._place(key)
        if first := entries.get(name):
            hint = f"first given at {first.key_place}"
            self._report.add(place, (*path, name), "duplicate key", hint)
            return
        entries[name] = self.node(value, (*path, name), name, place)

    def _merged(self, value: YamlNode, path: KeyPath) -> Iterator[Node]:
        """Yield the entries of `<<: *anchor` or `<<: [*first, *second]`; earlier ones win."""
        for source in value.value if isinstance(value, SequenceNode) else [value]:
            if isinstance(source, MappingNode):
                yield from self.node(source, path, "", self._place(source)).children()
            else:
                self._report.add(
                    self._place(source), path, "`<<` takes a mapping or a list of them"
                )

    def _scalar(self, source: ScalarNode, path: KeyPath, place: Place) -> Scalar | _Broken:
        text = str(source.value)
        kind = str(source.tag).removeprefix(_TAG)
        try:
            if kind in {"str", "timestamp", "value"}:
                return self._interpolator.resolve(text)
            return _typed(kind, text)
        except UnresolvedError as error:
            self._report.add(place, path, str(error))
        except ValueError:
            self._report.add(place, path, f"the tag {quoted(kind)} is not supported here")
        return BROKEN


def _typed(kind: str, text: str) -> Scalar:
    """Return the value of a plain scalar; raise `ValueError` for a kind that JSON does not have."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    digits = text.replace("_", "")
    if kind == "int":
        unsigned = digits.lstrip("+-").lower()
        base = {"0x": 16, "0o": 8, "0b": 2}.get(unsigned[:2], 10)
        return int(digits, base)
    if kind == "float":
        return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
    raise ValueError(kind)


def _place_of(error: YAMLError, text: str, file: str) -> Place:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            return Place(file, mark.line + 1, mark.column + 1)
    if isinstance(error, ReaderError):
        before = text[: error.position]
        return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Place(file)


def _what(error: YAMLError) -> str:
    """Return what the parser expected, without the excerpt of the file: it may be a secret."""
    if isinstance(error, ReaderError):
        return "a character that is not allowed"
    if isinstance(error, MarkedYAMLError):
        parts = (error.context, error.problem)
        return ", ".join(" ".join(part.split()) for part in parts if part)
    return "it cannot be parsed"
