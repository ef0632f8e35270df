"""One way to write a configuration down: indentation, blank lines, line width. Comments, quotes, anchors and the order
of keys stay.

Knows YAML (through ruamel's round trip), and believes nothing: what is written must mean the same and hold the same
comments in the same order, or it is not given out. It must not know what the keys mean.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

WIDTH: Final = 120
_BOM: Final = "\ufeff"
_COMMENT: Final = re.compile(r"(?:(?<=\s)|^)#[^\n]*", re.MULTILINE)
_BLANKS: Final = re.compile(r"\n(?:[ \t]*\n){2,}")
_TRAILING: Final = re.compile(r"[ \t]+$", re.MULTILINE)
_START: Final = re.compile(r"((?:[ \t]*(?:#[^\n]*)?\n)*)---(?=\s|$)")


class CannotFormat(Exception):
    """The text is left as it is; the message says why, with a line where there is one."""


def formatted(text: str) -> str:
    """Return `text` in its one form; formatting that again changes nothing. Raises `CannotFormat`."""
    text = text.removeprefix(_BOM).replace("\r\n", "\n")
    try:
        meaning, comments = _load("safe", text), _comments(text)
        written = _written(text) if meaning is not None else text
    except (YAMLError, RecursionError) as error:
        raise CannotFormat(_why(error)) from error
    written = f"{written.rstrip()}\n" if written.strip() else ""
    tidied = _TRAILING.sub("", _BLANKS.sub("\n\n", written)).lstrip("\n")
    for candidate in (tidied, written):  # blank lines within a text are part of it
        if _same(candidate, meaning, comments):
            return candidate
    raise CannotFormat(
        "a comment would get lost or move: write the list or mapping in which it stands in block style"
    )


def _written(text: str) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    start = _START.match(text)  # what stands before it the round trip would drop
    if start is not None:
        out.write(start[1])
        yaml.explicit_start = True
    yaml.dump(yaml.load(text), out)
    return out.getvalue()


def _same(text: str, meaning: Any, comments: list[str]) -> bool:
    try:
        return bool(_load("safe", text) == meaning) and _comments(text) == comments
    except YAMLError:
        return False


def _load(kind: str, text: str) -> Any:
    return YAML(typ=kind, pure=True).load(text)


def _comments(text: str) -> list[str]:
    """Return the comments, in order: what begins with `#` where no token of YAML is."""
    found: list[str] = []
    position = 0
    for token in YAML(typ="safe", pure=True).scan(text):
        found += _COMMENT.findall(text[position : token.start_mark.index])
        position = max(position, token.end_mark.index)
    found += _COMMENT.findall(text[position:])
    return [comment.rstrip() for comment in found]


def _why(error: Exception) -> str:
    """Say what the parser expected, without an excerpt: it may be a secret."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = str(error.problem).partition("\n")[0]
        return f"{where}{problem.partition(' with value')[0]}"
    return "it is nested too deep" if isinstance(error, RecursionError) else "it is not YAML"
