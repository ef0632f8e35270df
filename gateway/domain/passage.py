"""Which header fields cross the gateway, in both directions: the only place where one is stripped or set.

Knows hop-by-hop fields (RFC 9110 section 7.6.1), `Via` (7.6.3) and the identity fields that an upstream may trust;
trace context never crosses as a field of the client: see `trace_context`. It must not know where a head came from or
who may see it.

The order matters: what the client's `Connection` nominates goes first, then every copy of a field that is ours, and
only then ours are set. So a client can neither forge `X-Gateway-Tenant` nor have it removed by nominating it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gateway.domain.request import CHUNKED, UNTIL_CLOSE, Field, RequestHead, ResponseHead
from gateway.domain.routes import Route

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

_SET_BY_US: Final = frozenset(
    {
        b"host", b"content-length", b"expect", b"max-forwards", b"via", b"x-request-id", b"forwarded", b"x-forwarded",
        b"x-real-ip", b"traceparent", b"tracestate",
    }
)  # fmt: skip

_FORWARDED: Final = b"x-forwarded-"

_SAYS_OTHERWISE: Final = frozenset(
    {
        b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-original-url", b"x-rewrite-url",
        b"script-name", b"path-info", b"x-script-name", b"proxy",
    }
)  # fmt: skip
"""Fields that make some upstreams act on another method or path than the one that the scopes were decided on, or send
their own requests through a proxy of the client's choice (`HTTP_PROXY` of CGI).

`SCRIPT_NAME` cuts the beginning off the path. gunicorn believes it of whom it takes for a proxy, by default of
everybody on its machine: `GET /v1/admin` with `SCRIPT_NAME: /v1` is `/admin` to the application."""

_RESPONSE_SET_BY_US: Final = frozenset(
    {b"content-length", b"x-request-id", b"x-gateway-error-source"}
)

_KNOWN_MAX: Final = 1024
_KNOWN_BYTES_MAX: Final = 64
"""Of how many names, and how long ones, it is remembered whether they cross: far more than are in use."""

_ALIKE: Final = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)


def never_crosses(lower: bytes) -> bool:
    """Tell whether no configuration lets a client's field of this name reach an upstream as it came."""
    known = _spelled(lower)
    ours = {*HOP_BY_HOP, *_SET_BY_US, *_SAYS_OTHERWISE, b"authorization"}
    return known.startswith(_FORWARDED) or known in map(_spelled, ours)


def _spelled(lower: bytes) -> bytes:
    """Return the name under which a CGI-like upstream files a field.

    It turns whatever is neither letter nor digit into `_`, so that `x_gateway.tenant` and `x-gateway-tenant` become
    one variable.
    """
    return lower.translate(_ALIKE)


class Border:
    """Decides which fields cross, for one configuration.

    `identity_names` are the names of the identity fields; `identity_prefix` (`x-gateway-`) protects a whole family,
    empty none. `pseudonym` names this gateway in `Via`.
    """

    def __init__(
        self,
        *,
        identity_names: Iterable[bytes],
        identity_prefix: bytes,
        pseudonym: bytes,
        forwards_authorization: bool = False,
    ) -> None:
        self.identity_names = tuple(dict.fromkeys(identity_names))
        names = {*HOP_BY_HOP, *_SET_BY_US, *_SAYS_OTHERWISE, *self.identity_names}
        if not forwards_authorization:
            names.add(b"authorization")
        self._stripped = frozenset(_spelled(name.lower()) for name in names)
        prefix = _spelled(identity_prefix.lower())
        self._families = (_FORWARDED, prefix) if prefix else (_FORWARDED,)
        self._pseudonym = pseudonym
        self._known: dict[bytes, bool] = {}
        self._via_member = re.compile(
            rb"(?i:(?:http/)?[0-9.]+[ \t]+" + re.escape(pseudonym) + rb")(?:[ \t]|$)"
        )

    def is_loop(self, head: RequestHead) -> bool:
        """Tell whether this gateway forwarded the request before (RFC 9110 section 7.6.3)."""
        return any(
            self._via_member.match(member.strip(b" \t"))
            for value in head.values(b"via")
            for member in value.split(b",")
        )

    def request_fields(self, head: RequestHead, route: Route) -> bytes:
        """Return the client's fields that cross, then the route's, `Via` and the framing, as lines ending in CRLF."""
        known, nominated = self._known, head.connection_options
        removed = _removed(route)
        lines = [
            b"%b: %b\r\n" % (name, value)
            for lower, name, value in head.fields
            if (known[lower] if lower in known else self._may_cross(lower))
            and lower not in nominated
            and not (removed and _spelled(lower) in removed)
        ]
        lines += [b"%b: %b\r\n" % pair for pair in route.request_headers_set]
        lines.append(self._via_line(head))
        if head.method == "OPTIONS":
            lines += [
                b"Max-Forwards: %d\r\n" % (int(hops) - 1) for hops in head.values(b"max-forwards")
            ]
        lines.append(_request_framing(head))
        return b"".join(lines)

    def _may_cross(self, lower: bytes) -> bool:
        """Tell whether a field of this name is the client's to send; remembered, since few names are in use."""
        spelled = _spelled(lower)
        may = not (spelled in self._stripped or spelled.startswith(self._families))
        if len(lower) <= _KNOWN_BYTES_MAX:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[lower] = may
        return may

    def _via_line(self, head: RequestHead) -> bytes:
        """Return `Via` with this gateway at its end: the protocol is the one that the request came with."""
        own = (b"1.0 " if head.is_http_10 else b"1.1 ") + self._pseudonym
        return b"Via: %b\r\n" % b", ".join(
            [value for value in (*head.values(b"via"), own) if value]
        )


def _removed(route: Route) -> set[bytes]:
    """Return the names, as `_spelled`, that a route keeps from its upstream or sets itself."""
    if not (route.request_headers_remove or route.request_headers_set):
        return set()
    replaced = {name.lower() for name, _ in route.request_headers_set}
    return {_spelled(name) for name in route.request_headers_remove | replaced}


def _request_framing(head: RequestHead) -> bytes:
    lines = b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade if head.upgrade else b""
    if head.body_length == CHUNKED:
        return lines + b"Transfer-Encoding: chunked\r\n"
    if head.body_length or head.values(b"content-length"):
        return lines + b"Content-Length: %d\r\n" % head.body_length
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
    if head.status == 426:  # has to say which protocol is wanted (RFC 9110 section 15.5.22)
        lines += [b"Upgrade: %b\r\n" % value for value in head.values(b"upgrade")]
        lines.append(b"Connection: upgrade\r\n")
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
