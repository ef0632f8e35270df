"""A request's and a response's head, as values.

Knows what a head says after it was read; `http1` makes these values and every later step reads them. It must not know
sockets, keys or policy. A head is immutable by convention and may be shared by requests that were sent with the same
bytes.
"""

from __future__ import annotations

from typing import Any, Final

Field = tuple[bytes, bytes, bytes]
"""One header field: lower-case name, name as received, value without surrounding whitespace."""

CHUNKED: Final = -1
"""`body_length` of a message whose length is told by the chunked transfer coding (RFC 9112 section 7.1)."""

UNTIL_CLOSE: Final = -2
"""`body_length` of a response that ends with its connection (RFC 9112 section 6.3, rule 8)."""


class RequestHead:
    """One request's head.

    `method` as received; `target` the raw origin-form target (or `*`) that may be forwarded; `path` the
    percent-decoded path that routes are matched on; `query` the raw query without its `?`; `quirks` what
    `paths.read_path` found suspicious about the path (0 for nearly every request); `host` the lower-case host without
    port and trailing dot; `authority` the raw `Host` value; `body_length` in bytes, 0 without a body, or `CHUNKED`;
    `authorization` the values of all `Authorization` fields; `upgrade` the lower-case protocol of a proper upgrade
    request, else empty; `connection_options` the lower-case names that `Connection` nominated; `ends_here` whether it
    must not be forwarded: an OPTIONS with no hop left, or a request that a proxy asks about (`is_consultation`);
    `is_from_browser` whether it has a field that browsers send (`Origin`, `Sec-Fetch-Site`); `accept` and `user_agent`
    the values of these fields, joined.

    The memos hold what a later step derived from this head and from other immutable values (a part of the running
    generation, a bound key); each step compares those by identity before it believes its memo.
    """

    __slots__ = (
        "accept",
        "authority",
        "authorization",
        "body_length",
        "connection_options",
        "ends_here",
        "expects_continue",
        "fields",
        "host",
        "is_consultation",
        "is_from_browser",
        "is_http_10",
        "keeps_alive",
        "memo_credential",
        "memo_crossing",
        "memo_line",
        "memo_match",
        "memo_permit",
        "memo_tenant",
        "method",
        "path",
        "query",
        "quirks",
        "target",
        "upgrade",
        "user_agent",
    )

    def __init__(
        self,
        *,
        method: str,
        target: bytes,
        path: str,
        query: bytes = b"",
        quirks: int = 0,
        host: str = "",
        authority: bytes = b"",
        fields: tuple[Field, ...] = (),
        body_length: int = 0,
        authorization: tuple[bytes, ...] = (),
        keeps_alive: bool = True,
        is_http_10: bool = False,
        expects_continue: bool = False,
        upgrade: bytes = b"",
        connection_options: frozenset[bytes] = frozenset(),
        ends_here: bool = False,
        is_consultation: bool = False,
        is_from_browser: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.quirks = quirks
        self.host = host
        self.authority = authority
        self.fields = fields
        self.body_length = body_length
        self.authorization = authorization
        self.keeps_alive = keeps_alive
        self.is_http_10 = is_http_10
        self.expects_continue = expects_continue
        self.upgrade = upgrade
        self.connection_options = connection_options
        self.ends_here = ends_here
        self.is_consultation = is_consultation
        self.is_from_browser = is_from_browser
        self.accept = self.user_agent = b""
        for lower, _, value in fields:
            if lower == b"accept":
                self.accept = self.accept + b"," + value if self.accept else value
            elif lower == b"user-agent":
                self.user_agent = self.user_agent + b" " + value if self.user_agent else value
        self.memo_match: Any = None
        self.memo_credential: Any = None
        self.memo_permit: Any = None
        self.memo_tenant: Any = None
        self.memo_crossing: Any = None
        self.memo_line: Any = None

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields called `name` (lower case), in order."""
        return [value for lower, _, value in self.fields if lower == name]


class ResponseHead:
    """One response's head, as the upstream sent it.

    `body_length` as in `RequestHead`, or `UNTIL_CLOSE`; `keeps_alive` whether the upstream lets the connection be used
    again after this message; `idle_seconds_max` how long it then keeps it, 0 if it does not say.
    """

    __slots__ = (
        "body_length",
        "connection_options",
        "fields",
        "idle_seconds_max",
        "is_http_10",
        "keeps_alive",
        "memo_crossing",
        "reason",
        "status",
        "upgrade",
    )

    def __init__(
        self,
        *,
        status: int,
        reason: bytes = b"",
        fields: tuple[Field, ...] = (),
        body_length: int = 0,
        keeps_alive: bool = True,
        idle_seconds_max: float = 0.0,
        is_http_10: bool = False,
        upgrade: bytes = b"",
        connection_options: frozenset[bytes] = frozenset(),
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body_length = body_length
        self.keeps_alive = keeps_alive
        self.idle_seconds_max = idle_seconds_max
        self.is_http_10 = is_http_10
        self.upgrade = upgrade
        self.connection_options = connection_options
        self.memo_crossing: Any = None

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields called `name` (lower case), in order."""
        return [value for lower, _, value in self.fields if lower == name]
