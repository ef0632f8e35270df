"""Servers that read paths in their own ways, and routes looked up by comparing every pattern.

The model that the guard of `gateway.domain.routes` is proved against: written apart from it, slow and plain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway.domain.match import Kind
from gateway.domain.paths import Quirk
from gateway.domain.routes import Route


@dataclass(frozen=True)
class Pattern:
    """A pattern as the model knows it: literal segments or None, and the end."""

    name: str
    segments: tuple[str | None, ...]
    end: str
    allowed: int
    methods: frozenset[str]

    @property
    def route(self) -> Route:
        parts = [f"{{p{at}}}" if part is None else part for at, part in enumerate(self.segments)]
        kind: Kind = "path"
        if self.end == "prefix":
            kind = "prefix"
        elif self.end == "rest":
            parts.append("{rest...}")
        elif self.end != "exact":
            kind = "regex"
            parts = ["^", *parts, self.end] if not parts else [*parts, self.end]
        text = "/" + "/".join(parts)
        return Route(
            name=self.name,
            pattern=text.replace("/^", "^"),
            kind=kind,
            methods=self.methods,
            allowed_quirks=Quirk(self.allowed),
        )

    def rank(self, segments: list[str], *, ignores_case: bool) -> tuple[object, ...] | None:
        """Return how specifically this pattern matches, smaller is more specific, or None."""
        if len(segments) < len(self.segments):
            return None
        ranks: list[object] = []
        for part, segment in zip(self.segments, segments, strict=False):
            if part is None and segment:
                ranks.append(1)
            elif part is not None and (
                part == segment or (ignores_case and part.lower() == segment.lower())
            ):
                ranks.append(0)
            else:
                return None
        more = len(segments) - len(self.segments)
        if self.end == "exact":
            return None if more else (*ranks, -1)
        if self.end == "prefix":
            return (*ranks, 4)
        if self.end == "rest":
            return (*ranks, 3) if more else None
        text = "/".join(s.replace("%", "%25").replace("/", "%2F") for s in segments)
        expression = "/".join([*map(str, self.segments), self.end])
        matches = re.fullmatch(expression, text) or (
            ignores_case and re.fullmatch(expression, text, re.IGNORECASE)
        )
        return (*ranks, 2, -len(expression), expression) if matches else None


def lookup(
    patterns: list[Pattern], segments: list[str], method: str, *, ignores_case: bool
) -> str | None:
    """Return the route of a meaning by comparing every pattern; `405` if the method is not its."""
    if segments and not segments[-1]:
        segments = segments[:-1]
    ranked = [(pattern.rank(segments, ignores_case=ignores_case), pattern) for pattern in patterns]
    best = min((rank for rank, _ in ranked if rank is not None), default=None)
    if best is None:
        return None
    leaf = [pattern for rank, pattern in ranked if rank == best]
    for wanted in (method, "GET" if method == "HEAD" else method, ""):
        for pattern in leaf:
            if wanted in pattern.methods or (not wanted and not pattern.methods):
                return pattern.name
    return "405"


@dataclass(frozen=True)
class Backend:
    """A server that reads paths in its own way."""

    decodings: int = 1
    splits_decoded: bool = False
    cuts_query: bool = False
    cuts_parameters: str = ""
    strips_ends: bool = False
    merges_slashes: bool = False
    resolves_dots: bool = False
    turns_backslashes: bool = False
    ignores_case: bool = False

    def segments(self, raw: str) -> list[str]:
        """Return what the path means to this server."""
        if self.cuts_parameters == "before":
            raw = cut_parameters(raw)
        pieces = [raw] if self.splits_decoded else raw.split("/")[1:]
        for _ in range(self.decodings):
            pieces = [unquote_to_bytes(piece).decode(errors="replace") for piece in pieces]
        if self.turns_backslashes:
            pieces = [piece.replace("\\", "/") for piece in pieces]
        if self.cuts_query:
            pieces = cut_query(pieces)
        if self.splits_decoded:
            pieces = pieces[0].split("/")[1:]
        for applies, step in (
            (self.cuts_parameters == "after", lambda pieces: [*map(cut_parameters, pieces)]),
            (self.resolves_dots, resolve_dots),
            (self.strips_ends, lambda pieces: [piece.rstrip(". ") for piece in pieces]),
            (self.merges_slashes, lambda pieces: [piece for piece in pieces if piece]),
        ):
            pieces = step(pieces) if applies else pieces
        return pieces


def cut_parameters(text: str) -> str:
    return re.sub(";[^/]*", "", text)


def cut_query(pieces: list[str]) -> list[str]:
    """End the path at the first `?` or `#`, wherever it came from."""
    for at, piece in enumerate(pieces):
        before = re.split("[?#]", piece)[0]
        if before != piece:
            return [*pieces[:at], before]
    return pieces


def resolve_dots(pieces: list[str]) -> list[str]:
    """Remove dot segments (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for piece in pieces:
        if piece == "..":
            kept[-1:] = []
        elif piece != ".":
            kept.append(piece)
    return kept
