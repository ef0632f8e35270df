"""The target that is sent upstream: the raw one, or what a route makes of it.

Knows how a prefix is stripped and how a template is filled, in bytes. The rule of this room: what
is forwarded means what was matched. So an untouched target is forwarded as it came, stripping cuts
whole raw segments that the pattern fixed, and a parameter fills exactly one segment. It must not
know upstreams: their base path is joined elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.domain.match import Shape, parse_pattern

if TYPE_CHECKING:
    from gateway.domain.routes import Match

PREFIX_REST: Final = "rest"
"""What a rewrite calls the part of the path behind a prefix."""

_STRAY_PERCENT: Final = re.compile("%(?!25|2F)")


def forward_target(match: Match) -> bytes:
    """Return the raw target (path and query) to send upstream, before the upstream's base path."""
    rewriter = match.rewriter
    if rewriter is None:
        return match.head.target
    return rewriter.rewrite(match.head.target, match.parameters)


class Rewriter:
    """A compiled `strip_prefix` or `rewrite`.

    `dropped` raw segments are cut from the left. With a template, its `parts` (ready bytes, or the
    name of a parameter with whether it may span segments) come before what is left when
    `keeps_rest`, else instead of it.
    """

    __slots__ = ("_dropped", "_keeps_rest", "_parts")

    def __init__(
        self,
        *,
        dropped: int,
        parts: tuple[bytes | tuple[str, bool], ...] = (),
        keeps_rest: bool = True,
    ) -> None:
        self._dropped = dropped
        self._parts = parts
        self._keeps_rest = keeps_rest

    def rewrite(self, target: bytes, parameters: Mapping[str, str]) -> bytes:
        """Return the new target; the query stays as it came."""
        raw, mark, query = target.partition(b"?")
        segments: list[bytes] = []
        for part in self._parts:
            if isinstance(part, bytes):
                segments.append(part)
            elif part[0] in parameters:
                segments.append(_encode(parameters[part[0]], may_span=part[1]))
        if self._keeps_rest:
            segments.extend(raw.split(b"/", self._dropped + 1)[self._dropped + 1 :])
        # A target that starts with `//` would name a host (RFC 3986 section 4.2).
        return b"/" + b"/".join(segments).lstrip(b"/") + mark + query


def _encode(text: str, *, may_span: bool) -> bytes:
    """Percent-encode all but unreserved characters and the two escapes of the text form."""
    return quote(_STRAY_PERCENT.sub("%25", text), safe="%/" if may_span else "%").encode("ascii")


def compile_rewriter(
    *, strip_prefix: str, rewrite: str, shapes: Sequence[Shape]
) -> Rewriter | None:
    """Compile what a route does to the path, None for nothing.

    `rewrite` is a template of literal segments, `{name}` for one segment and `{name...}` for what
    `{name...}` (or, as `{rest...}`, a prefix) matched; a parameter that is absent leaves its
    segment out. Raises ValueError for a prefix that the pattern does not fix, for a name that it
    does not have, and for both options at once.
    """
    if strip_prefix and rewrite:
        raise ValueError(
            "strip_prefix and rewrite exclude each other: write the new path as rewrite"
        )
    if strip_prefix:
        return Rewriter(dropped=_stripped_segments(strip_prefix, shapes))
    if rewrite:
        return _compile_template(rewrite, shapes)
    return None


def _stripped_segments(strip_prefix: str, shapes: Sequence[Shape]) -> int:
    (prefix,) = parse_pattern(strip_prefix, "prefix")
    count = len(prefix.segments)
    if None in prefix.segments or any(
        shape.segments[:count] != prefix.segments for shape in shapes
    ):
        raise ValueError(f"strip_prefix {strip_prefix!r} is not how every path of the route starts")
    return count


def _compile_template(rewrite: str, shapes: Sequence[Shape]) -> Rewriter:
    template = parse_pattern(rewrite, "path")[-1]
    names = dict(template.names)
    whole = shapes[-1]
    is_expression = whole.end == "regex"
    known = set(re.compile(whole.expression).groupindex) | {name for name, _ in whole.names}
    rest_name = PREFIX_REST if whole.end == "prefix" else whole.rest_name
    places = {position: name for name, position in names.items()}
    parts: list[bytes | tuple[str, bool]] = [
        (places[position], False)
        if segment is None
        else quote(segment, safe="%!$&'()*+,;=:@").encode()
        for position, segment in enumerate(template.segments)
    ]
    if template.rest_name and is_expression:
        parts.append((template.rest_name, True))
    wanted = set(names) | ({template.rest_name} if is_expression and template.rest_name else set())
    unknown = sorted(wanted - known)
    if template.rest_name and not is_expression and template.rest_name != rest_name:
        unknown.append(template.rest_name + "...")
    if unknown:
        raise ValueError(
            f"rewrite {rewrite!r} names {{{unknown[0]}}}, which the path does not have"
        )
    keeps_rest = bool(template.rest_name) and not is_expression
    return Rewriter(dropped=len(whole.segments), parts=tuple(parts), keeps_rest=keeps_rest)
