"""Which header fields cross the gateway, in both directions: the only place where one is stripped or set.

Knows hop-by-hop fields (RFC 9110 section 7.6.1), `Via` (7.6.3), the identity fields that an upstream may trust, and
trace context (W3C Trace Context, section 2). It must not know where a head came from or who may see it.

The order matters: what the client's `Connection` nominates goes first, then every copy of a field that is ours, and only
then ours are set. So a client can neither forge `X-Gateway-Tenant` nor have it removed by nominating it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gateway.domain.request import CHUNKED, UNTIL_CLOSE, Field, RequestHead, ResponseHead
from gateway.domain.routes import Route

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

_SET_BY_US: Final = frozenset(
    {
        b"host", b"content-length", b"expect", b"via", b"x-request-id", b"x-forwarded-for", b"x-forwarded-host",
        b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-server", b"x-forwarded-prefix", b"x-real-ip", b"forwarded",
        b"traceparent", b"tracestate",
    }
)  # fmt: skip

_RESPONSE_SET_BY_US: Final = frozenset({b"content-length", b"x-request-id", b"x-gateway-error-source"})

_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE_BYTES_MAX: Final = 512


class Border:
    """Decides which fields cross, for one configuration.

    `identity_names` are the lower-case names of the identity fields; `identity_prefix` (`x-gateway-`) protects the whole
    family, also from spellings that differ in underscore and hyphen. `pseudonym` names this gateway in `Via`.
    """

    def __init__(
        self,
        *,
        identity_names: Iterable[bytes],
        identity_prefix: bytes,
        pseudonym: bytes,
        forwards_authorization: bool = False,
    ) -> None:
        stripped = set(HOP_BY_HOP) | set(_SET_BY_US) | {name.lower() for name in identity_names}
        if not forwards_authorization:
            stripped.add(b"authorization")
        self._stripped = frozenset(stripped)
        self._prefix = identity_prefix.lower()
        self._pseudonym = pseudonym
        self._via_member = re.compile(rb"(?i:(?:http/)?[0-9.]+[ \t]+" + re.escape(pseudonym) + rb")(?:[ \t]|$)")

    def is_loop(self, head: RequestHead) -> bool:
        """Tell whether this gateway forwarded the request before (RFC 9110 section 7.6.3)."""
        return any(
            self._via_member.match(member.strip(b" \t"))
            for value in head.values(b"via")
            for member in value.split(b",")
        )

    def request_fields(self, head: RequestHead, route: Route) -> bytes:
        """Return the client's fields that cross, then the route's, `Via` and the framing, as lines ending in CRLF."""
        removed = route.request_headers_remove
        lines = [
            b"%b: %b\r\n" % (name, value)
            for lower, name, value in head.fields
            if self._crosses(lower, head) and lower not in removed
        ]
        lines += [b"%b: %b\r\n" % pair for pair in route.request_headers_set]
        via = [*head.values(b"via"), b"1.1 " + self._pseudonym]
        lines.append(b"Via: %b\r\n" % b", ".join(via))
        if _trace_of(head):
            lines += _trace_lines(head)
        if head.upgrade:
            lines.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
        if head.body_length == CHUNKED:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        elif head.body_length or head.values(b"content-length"):
            lines.append(b"Content-Length: %d\r\n" % head.body_length)
        return b"".join(lines)

    def _crosses(self, lower: bytes, head: RequestHead) -> bool:
        if lower in self._stripped or lower in head.connection_options:
            return False
        spelled = lower.replace(b"_", b"-") if b"_" in lower else lower
        # A CGI-like upstream reads `x_gateway_tenant` and `x-gateway-tenant` as one variable.
        return not (spelled.startswith(self._prefix) or (spelled is not lower and spelled in self._stripped))


def has_trace(head: RequestHead) -> bool:
    """Tell whether the client sent a valid `traceparent`, which then crosses unchanged."""
    return _trace_of(head) != b""


def _trace_of(head: RequestHead) -> bytes:
    values = head.values(b"traceparent")
    if len(values) != 1:
        return b""
    value = values[0]
    # A later version may append members after the four of version 00 (W3C Trace Context, section 3.2.2).
    known = value[:55] if len(value) > 55 and value[55:56] == b"-" and value[:2] != b"00" else value
    return value if _TRACEPARENT.fullmatch(known) else b""


def _trace_lines(head: RequestHead) -> list[bytes]:
    lines = [b"traceparent: %b\r\n" % _trace_of(head)]
    state = b",".join(head.values(b"tracestate"))
    members = [m.strip(b" \t") for m in state.split(b",") if m.strip(b" \t")]
    while members and len(b",".join(members)) > _TRACESTATE_BYTES_MAX:
        # Whole members go: those over 128 bytes first, then from the right (section 3.3.1.5).
        longest = max(range(len(members)), key=lambda i: len(members[i]))
        members.pop(longest if len(members[longest]) > 128 else -1)
    if members:
        lines.append(b"tracestate: %b\r\n" % b",".join(members))
    return lines


def response_fields(head: ResponseHead, route: Route, overwritten: frozenset[bytes]) -> bytes:
    """Return the upstream's fields that cross, then the route's, as lines ending in CRLF; no framing.

    `overwritten` are the lower-case names which the gateway sets itself, such as those of the rate-limit headers.
    """
    removed = route.response_headers_remove
    lines = [
        b"%b: %b\r\n" % (name, value)
        for lower, name, value in head.fields
        if not (
            lower in HOP_BY_HOP
            or lower in _RESPONSE_SET_BY_US
            or lower in head.connection_options
            or lower in overwritten
            or lower in removed
        )
    ]
    lines += [b"%b: %b\r\n" % pair for pair in route.response_headers_set]
    if head.status >= 400:
        lines.append(b"X-Gateway-Error-Source: upstream\r\n")
    return b"".join(lines)


def response_framing(head: ResponseHead, *, method: str, to_http_10: bool) -> tuple[bytes, bool]:
    """Return the framing lines for the client, and whether the content is to be sent in chunks.

    A body of unknown length is chunked again for an HTTP/1.1 client, and ends with the connection for an older one. A
    response without content keeps the length that the upstream announced for it (RFC 9110 section 8.6).
    """
    if head.status == 101:
        return b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade, False
    if method == "HEAD" or head.status in (204, 304):
        return _announced_length(head.fields, head.status), False
    if head.body_length in (CHUNKED, UNTIL_CLOSE):
        return (b"", False) if to_http_10 else (b"Transfer-Encoding: chunked\r\n", True)
    return b"Content-Length: %d\r\n" % head.body_length, False


def _announced_length(fields: tuple[Field, ...], status: int) -> bytes:
    if status == 204:
        return b""  # a 204 must not have one (RFC 9110 section 8.6)
    lengths = [value for lower, _, value in fields if lower == b"content-length"]
    return b"Content-Length: %b\r\n" % lengths[0] if lengths else b""
