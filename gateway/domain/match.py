"""Patterns of paths, and the table that finds the pattern of a path.

Knows the grammar of patterns and their precedence. It must not know hosts, methods or routes: what
a pattern leads to is the caller's leaf.

Precedence does not depend on the order of insertion. From the left, position by position: a literal
segment, then a `{parameter}`, then a regex, then `{rest...}`, then a prefix; a choice that leads
nowhere is taken back. Among regexes with the same literal directory the longer expression is tried
first, then the alphabetically smaller. One slash at the end of a path or pattern is no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import quote

from gateway.domain.paths import NEVER, OPTIONAL, QUIRK_NAMES, fold, read_path

Kind = Literal["path", "prefix", "regex"]
Leaf = TypeVar("Leaf")

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\?|\.\.\.)?\}")
_LITERAL_START: Final = re.compile(r"(?:[A-Za-z0-9_/~\-]|\\[.\-])*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One compiled pattern: what its segments are and how it ends.

    `segments` from the left, None for a parameter; after them the path ends (`exact`), goes on with
    at least one segment (`rest`), with anything (`prefix`), or the whole path is matched by
    `expression` (`regex`). `names` are the parameters with the position of their segment;
    `rest_name` names what `{rest...}` takes.
    """

    segments: tuple[str | None, ...]
    end: Literal["exact", "rest", "prefix", "regex"] = "exact"
    expression: str = ""
    names: tuple[tuple[str, int], ...] = ()
    rest_name: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What patterns have in common that match the same paths, whatever names they use."""
        return (self.segments, self.end, self.expression)

    @property
    def folded_key(self) -> tuple[object, ...]:
        """The same for a server that ignores case; expressions are never called the same."""
        return (self.folded_segments, self.end, self.expression)

    @property
    def folded_segments(self) -> tuple[str | None, ...]:
        """The segments as a server that ignores case compares them."""
        return tuple(None if segment is None else fold(segment) for segment in self.segments)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of all that the pattern takes of a path."""
        if self.end == "regex":
            return tuple(re.compile(self.expression).groupindex)
        own = tuple(name for name, _ in self.names)
        return (*own, self.rest_name) if self.rest_name else own

    @property
    def is_folded(self) -> bool:
        """Whether folding leaves the pattern alone; never certain for an expression."""
        return self.end != "regex" and self.folded_segments == self.segments


def parse_pattern(pattern: str, kind: Kind, allowed_quirks: int = 0) -> tuple[Shape, ...]:
    """Compile a pattern: one shape, or two with an optional last segment.

    `path` and `prefix` patterns start with `/` and consist of literal segments (percent-encoded
    where necessary) and `{name}`; a path may end in `{name?}` or `{name...}`. A `regex` matches a
    whole path in its text form, must start with a literal directory (`^/v1/reports/`), and its
    named groups are its parameters. Raises ValueError, also for literals that no request could
    reach without `allowed_quirks`.
    """
    if kind == "regex":
        return (_parse_expression(pattern),)
    if not pattern.startswith("/"):
        raise ValueError(f"{pattern!r} must start with '/'")
    parts = pattern[1:].split("/")
    if parts[-1] == "":
        parts.pop()
    segments: list[str | None] = []
    names: list[tuple[str, int]] = []
    mark = ""
    for position, part in enumerate(parts):
        if mark:
            raise ValueError(f"{pattern!r}: only the last segment may be optional or take the rest")
        placeholder = _PLACEHOLDER.fullmatch(part)
        if placeholder is None:
            segments.append(_parse_literal(part, pattern, allowed_quirks))
        else:
            mark = placeholder[2] or ""
            segments.append(None)
            names.append((placeholder[1], position))
    if len({name for name, _ in names}) < len(names):
        raise ValueError(f"{pattern!r} uses one parameter name twice")
    if mark and kind == "prefix":
        raise ValueError(
            f"{pattern!r}: a prefix already matches what follows; leave {parts[-1]} out"
        )
    return _shapes(tuple(segments), tuple(names), mark, is_prefix=kind == "prefix")


def _shapes(
    segments: tuple[str | None, ...],
    names: tuple[tuple[str, int], ...],
    mark: str,
    *,
    is_prefix: bool,
) -> tuple[Shape, ...]:
    if is_prefix:
        return (Shape(segments=segments, end="prefix", names=names),)
    if mark == "...":
        return (
            Shape(segments=segments[:-1], end="rest", names=names[:-1], rest_name=names[-1][0]),
        )
    whole = Shape(segments=segments, names=names)
    return (Shape(segments=segments[:-1], names=names[:-1]), whole) if mark else (whole,)


def _parse_literal(part: str, pattern: str, allowed_quirks: int) -> str:
    if "{" in part or "}" in part:
        raise ValueError(
            f"{pattern!r}: a parameter must be a whole segment, {part!r} is not; use kind regex"
        )
    path, quirks = read_path(b"/" + quote(part, safe="%!$&'()*+,;=:@").encode("ascii"))
    if part == "" or quirks & NEVER:
        raise ValueError(f"{pattern!r}: no request may contain the segment {part!r}")
    for name, quirk in QUIRK_NAMES.items():
        if quirks & OPTIONAL & quirk & ~allowed_quirks:
            raise ValueError(
                f"{pattern!r}: the segment {part!r} needs {name} to be allowed by the route"
            )
    return path[1:]


def _parse_expression(pattern: str) -> Shape:
    expression = pattern.removeprefix("^")
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    if _has_top_level_choice(expression):
        raise ValueError(f"{pattern!r}: put the alternatives into parentheses: '/a/(b|c)'")
    start = _LITERAL_START.match(expression)
    literal = "" if start is None else start[0]
    if expression[len(literal) : len(literal) + 1] in {"?", "*", "+", "{"}:
        literal = literal[:-1]
    directory, slash, _ = literal.replace("\\", "").rpartition("/")
    if not literal.startswith("/") or not slash or "//" in literal:
        raise ValueError(
            f"{pattern!r} must start with a literal directory, such as '^/v1/reports/'"
        )
    return Shape(segments=tuple(directory.split("/")[1:]), end="regex", expression=expression)


def _has_top_level_choice(expression: str) -> bool:
    """Say whether `|` stands outside of all parentheses; the expression is known to compile."""
    depth = 0
    for sign in re.findall(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", expression, re.DOTALL):
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0:
            return True
    return False


class _Node(Generic[Leaf]):
    __slots__ = ("exact", "expressions", "literals", "parameter", "prefix", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[Leaf]] = {}
        self.parameter: _Node[Leaf] | None = None
        self.expressions: list[tuple[int, str, re.Pattern[str], Leaf]] = []
        self.exact: Leaf | None = None
        self.rest: Leaf | None = None
        self.prefix: Leaf | None = None


class PathTable(Generic[Leaf]):
    """Finds the most specific pattern of a path; the cost depends on the path's length, not on the
    number of patterns.

    With `is_folded` it knows the patterns as a server that ignores case, and is asked for folded
    paths.
    """

    __slots__ = ("_is_folded", "_literals", "_make_leaf", "_root")

    def __init__(self, make_leaf: Callable[[], Leaf], *, is_folded: bool = False) -> None:
        self._make_leaf = make_leaf
        self._is_folded = is_folded
        self._root: _Node[Leaf] = _Node()
        self._literals: dict[str, Leaf] = {}

    def leaf(self, shape: Shape) -> Leaf:
        """Return the leaf of a shape, made when it is asked for the first time."""
        segments = shape.folded_segments if self._is_folded else shape.segments
        node = self._root
        for segment in segments:
            if segment is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if shape.end == "regex":
            return self._expression_leaf(node, shape.expression)
        if shape.end == "rest":
            node.rest = node.rest or self._make_leaf()
            return node.rest
        if shape.end == "prefix":
            node.prefix = node.prefix or self._make_leaf()
            return node.prefix
        node.exact = node.exact or self._make_leaf()
        if None not in segments:
            path = "/" + "/".join(filter(None, segments))
            self._literals[path] = self._literals[path.rstrip("/") + "/"] = node.exact
        return node.exact

    def _expression_leaf(self, node: _Node[Leaf], expression: str) -> Leaf:
        for _, known, _, leaf in node.expressions:
            if known == expression:
                return leaf
        leaf = self._make_leaf()
        rank = -len(expression)
        if self._is_folded:
            node.expressions.append((rank, expression, re.compile(expression, re.IGNORECASE), leaf))
        # Also as it is: ignoring case makes `[^A-Z]` refuse what it matched.
        node.expressions.append((rank, expression, re.compile(expression), leaf))
        node.expressions.sort(key=lambda entry: entry[:2])
        return leaf

    def find(self, path: str) -> Leaf | None:
        """Return the leaf of the most specific pattern that matches a path's text, or None."""
        leaf = self._literals.get(path)
        if leaf is not None:
            return leaf
        segments = path.split("/")
        if not segments[-1]:
            segments.pop()
        return _walk(self._root, segments, 1, trim(path))


def trim(path: str) -> str:
    """Drop the one slash at the end that never changes what a path leads to."""
    return path[:-1] if path[-1:] == "/" and len(path) > 2 else path


def _walk(node: _Node[Leaf], segments: list[str], index: int, path: str) -> Leaf | None:
    if index < len(segments):
        segment = segments[index]
        child = node.literals.get(segment)
        if child is not None:
            leaf = _walk(child, segments, index + 1, path)
            if leaf is not None:
                return leaf
        if node.parameter is not None and segment:
            leaf = _walk(node.parameter, segments, index + 1, path)
            if leaf is not None:
                return leaf
    elif node.exact is not None:
        return node.exact
    for _, _, expression, leaf in node.expressions:
        if expression.fullmatch(path) is not None:
            return leaf
    if node.rest is not None and index < len(segments):
        return node.rest
    return node.prefix
