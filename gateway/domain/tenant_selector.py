"""Where a request names the tenant that it is for: a parameter of the query, a header field, a part of the path.

Knows how each is read, and when it cannot be told which tenant an upstream would take it for: named twice, in places
that disagree, or under a spelling that some servers file under the same name (another case, `;` between parameters,
`name[]`, `name.` for `name_`, a field that the client's `Connection` removes). It must not know which tenants exist.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.domain.request import RequestHead
from gateway.domain.routes import Match

_ALIKE: Final = bytes.maketrans(b" .-", b"___")
_SPACE: Final = b" \t\r\n\v\f\0"


class TenantSelector:
    """The places that the operator chose: the name of a query parameter, a header field and a path parameter.

    Empty where none is read; at least one is given.
    """

    __slots__ = ("_field", "_field_spelled", "_parameter", "_path", "_query_spelled")

    def __init__(self, *, query: str = "", header: str = "", path: str = "") -> None:
        self._parameter = query.encode("ascii")
        self._query_spelled = _spelled(self._parameter)
        self._field = header.lower().encode("ascii")
        self._field_spelled = _spelled(self._field)
        self._path = path

    def read(self, match: Match) -> str | None:
        """Return what the request names, empty when nothing, or None when it cannot be told which it is."""
        named: str | None = match.parameters.get(self._path, "") if self._path else ""
        if self._field:
            named = _agreed(named, self._in_fields(match.head))
        if self._parameter and match.head.query:
            named = _agreed(named, self._in_query(match.head.query))
        return named

    def _in_fields(self, head: RequestHead) -> str | None:
        found = ""
        is_seen = False
        for lower, _, value in head.fields:
            if _spelled(lower) == self._field_spelled:
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
                if _spelled(name) == self._query_spelled:
                    if is_seen or len(pieces) > 1 or unquote_to_bytes(name) != self._parameter:
                        return None
                    is_seen = True
                    found = unquote_to_bytes(value).decode("latin-1")
        return found


def _agreed(one: str | None, other: str | None) -> str | None:
    """Return what two places name between them; None when they disagree, or one cannot be told."""
    if one is None or other is None:
        return None
    if one and other and one != other:
        return None
    return one or other


def _spelled(name: bytes) -> bytes:
    """Return the name under which the most lenient server would file a parameter."""
    if b"%" in name or b"+" in name:
        # Some decode twice.
        name = unquote_to_bytes(unquote_to_bytes(name.replace(b"+", b" ")))
    name = name.partition(b"[")[0].lstrip(_SPACE).partition(b"\0")[0].rstrip(_SPACE)
    return name.lower().translate(_ALIKE)
