"""Where a request names the tenant that it is for: a parameter of the query, a header field, a part of the path.

Knows how each is read, and when it cannot be told which tenant an upstream would take it for: named twice, in places
that disagree, or under a spelling that some servers file under the same name (another case, `;` between parameters,
`name[]`, `[name]`, `name.` for `name_`, `%u006eame`, a query that an encoded `?` of the path begins, a field that the
client's `Connection` removes). It must not know which tenants exist.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.domain.paths import Quirk, fold
from gateway.domain.request import RequestHead
from gateway.domain.routes import Match

_PLAIN: Final = re.compile(rb"[A-Za-z0-9_.-]*")
_ALIKE: Final = bytes.maketrans(b" .-", b"___")
_FIELDS_ALIKE: Final = bytes.maketrans(b"!#$%&'*+.^`|~-", b"_" * 14)
_SPACE: Final = b" \t\r\n\v\f\0"
_UTF16_ESCAPE: Final = re.compile(rb"%[uU]([0-9A-Fa-f]{4})")
_BRACKET: Final = re.compile(rb"[\[\]]")


class TenantSelector:
    """The places that the operator chose: the name of a query parameter, a header field and a path parameter.

    Empty where none is read; at least one is given.
    """

    __slots__ = ("_field", "_field_spelled", "_parameter", "_path", "_query_spelled")

    def __init__(self, *, query: str = "", header: str = "", path: str = "") -> None:
        self._parameter = query.encode("ascii")
        self._query_spelled = self._parameter.lower().translate(_ALIKE)
        self._field = header.lower().encode("ascii")
        self._field_spelled = self._field.translate(_FIELDS_ALIKE)
        self._path = path

    def read(self, match: Match) -> str | None:
        """Return what the request names, empty when nothing, or None when it cannot be told which it is."""
        named: str | None = match.parameters.get(self._path, "") if self._path else ""
        if self._field:
            named = _agreed(named, self._in_fields(match.head))
        if self._parameter:
            if match.head.query:
                named = _agreed(named, self._in_query(match.head.query))
            if match.head.quirks & Quirk.ENCODED_DELIMITER and self._is_in_path(match.head.path):
                return None
        return named

    def _in_fields(self, head: RequestHead) -> str | None:
        found = ""
        is_seen = False
        for lower, _, value in head.fields:
            if lower.translate(_FIELDS_ALIKE) == self._field_spelled:
                if is_seen or lower != self._field or lower in head.connection_options:
                    return None
                is_seen = True
                found = value.decode("latin-1")
        return found

    def _in_query(self, query: bytes) -> str | None:
        found = ""
        is_seen = False
        for part in query.split(b"&"):
            pieces = part.split(b";")
            for piece in pieces:
                name, _, value = piece.partition(b"=")
                if self._query_spelled in _spellings(name):
                    if is_seen or len(pieces) > 1 or unquote_to_bytes(name) != self._parameter:
                        return None
                    is_seen = True
                    found = unquote_to_bytes(value).decode("latin-1")
        return found

    def _is_in_path(self, path: str) -> bool:
        """Tell whether a server that decodes a path before it looks for its query finds the parameter there."""
        query = path.partition("?")[2].encode()
        return bool(query) and self._in_query(query) != ""


def _agreed(one: str | None, other: str | None) -> str | None:
    """Return what two places name between them; None when they disagree, or one cannot be told."""
    if one is None or other is None:
        return None
    if one and other and one != other:
        return None
    return one or other


def _spellings(name: bytes) -> tuple[bytes, ...]:
    """Return the names under which lenient servers would file a parameter."""
    if _PLAIN.fullmatch(name) is not None:
        return (name.lower().translate(_ALIKE),)
    # ASP.NET knows `%u0041`, and some decode twice.
    text = _UTF16_ESCAPE.sub(lambda found: chr(int(found[1], 16)).encode("utf-8", "replace"), name)
    text = unquote_to_bytes(unquote_to_bytes(text.replace(b"+", b" ")))
    text = fold(text.decode("utf-8", "replace")).encode().lstrip(_SPACE).partition(b"\0")[0]
    # Express and Rack take `[name]` for `name`, Spring takes `!name` where there is no `name`.
    first = _BRACKET.split(text.lstrip(b"[]!"), maxsplit=1)[0]
    # PHP takes `a[b` for `a_b`.
    return first.rstrip(_SPACE).translate(_ALIKE), text.replace(b"[", b"_", 1).translate(_ALIKE)
