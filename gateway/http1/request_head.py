"""Reads one request head: from its exact bytes to a `RequestHead`, or to the reason why it is refused.

Knows the request line, the request target and the field rules of requests (RFC 9112 sections 3 and 6, RFC 9110
section 7). Reading is a pure function of the bytes, so what was read is remembered for heads that come again, as those
of keep-alive clients do. It must not know sockets, keys or routes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from gateway.domain.denial import Denial, Reason
from gateway.domain.paths import read_path
from gateway.domain.request import CHUNKED, RequestHead
from gateway.http1.fields import (
    Lines,
    MessageError,
    connection_options,
    is_chunked,
    is_token,
    keeps_alive,
    list_members,
    protocols,
    whole_number,
)
from gateway.http1.memory import Memory

_METHOD_BYTES_MAX: Final = 32  # twice the longest registered one (RFC 9110 section 16.1)
_NEVER: Final = (b"CONNECT", b"TRACE")
"""Methods that end here whatever the routes say: a gateway is no tunnel to elsewhere, and TRACE would reflect
credentials (RFC 9110 section 9.3.8). In any case, because some upstreams ignore the case of methods."""

_COMMON_METHODS: Final = frozenset(
    {b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT"}
)
_SPOKEN: Final = (b"HTTP/1.1", b"HTTP/1.0")
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e]+")  # printable ASCII but `#`: no URI has others
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_HOST: Final = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|((?:[A-Za-z0-9_\-]+\.)*[A-Za-z0-9_\-]+)\.?)(?::([0-9]{0,5}))?"
)
_HOST_BYTES_MAX: Final = 255  # of a domain name (RFC 1035 section 2.3.4)
_SINGLE: Final = (b"content-type", b"expect")
_HTTP_AGAIN: Final = (b"h2", b"h3", b"http", b"tls")  # and drafts such as `h2c-14`
_ALLOWED: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""What 405 names in place of a method that no route can allow (RFC 9110 section 15.5.6)."""
_REMEMBERED_BYTES_MAX: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLimits:
    """How large a head may be: bytes of the target and of the whole head, and number of fields."""

    target_bytes_max: int = 8192
    head_bytes_max: int = 32768
    head_fields_max: int = 100


class RequestHeadReader:
    """Reads heads under one set of limits and remembers the latest few thousand of them (about 3 KiB each)."""

    def __init__(self, limits: HeadLimits, remembered_max: int = 4096) -> None:
        self._limits = limits
        self._remembered: Memory[bytes, RequestHead] = Memory(remembered_max, _forget)

    def forget(self) -> None:
        """Forget all heads, and with them whatever was found out about them under a configuration that is no more."""
        self._remembered.clear()

    def read(self, raw: bytes) -> RequestHead | Denial:
        """Read `raw`, one whole head up to and including its empty line."""
        known = self._remembered.recent.get(raw) or self._remembered.recall(raw)
        if known is not None:
            return known
        try:
            head = _read(raw, self._limits)
        except MessageError as error:
            return Denial(reason=Reason.INVALID_REQUEST, internal=str(error))
        if isinstance(head, RequestHead) and len(raw) <= _REMEMBERED_BYTES_MAX:
            self._remembered.keep(raw, head)
        return head


def _forget(head: RequestHead) -> None:
    head.memo_match = head.memo_credential = head.memo_permit = head.memo_crossing = None
    head.memo_line = None


def _read(raw: bytes, limits: HeadLimits) -> RequestHead | Denial:
    line_end = raw.index(b"\r\n")
    method, target, version = _request_line(raw[:line_end])
    if version not in _SPOKEN:
        return Denial(reason=Reason.VERSION_NOT_SUPPORTED, internal=version.decode("ascii"))
    if len(target) > limits.target_bytes_max:
        return Denial(reason=Reason.URI_TOO_LONG)
    lines = Lines(raw[line_end:])
    if len(lines.fields) > limits.head_fields_max:
        return Denial(reason=Reason.HEADERS_TOO_LARGE, internal=f"{len(lines.fields)} fields")
    if len(method) > _METHOD_BYTES_MAX:
        return Denial(reason=Reason.NOT_IMPLEMENTED, internal=f"method of {len(method)} bytes")
    if method not in _COMMON_METHODS and method.upper() in _NEVER:
        return Denial(reason=Reason.METHOD_NOT_ALLOWED, allow=_ALLOWED)
    return _assemble(method, target, version == b"HTTP/1.0", lines)


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split the request line strictly: one space each, no repair (RFC 9112 section 3)."""
    parts = line.split(b" ")
    if len(parts) != 3 or not (parts[0] in _COMMON_METHODS or is_token(parts[0])):
        raise MessageError("request line is not `method SP target SP version` (RFC 9112 section 3)")
    if parts[2] not in _SPOKEN and _VERSION.fullmatch(parts[2]) is None:
        raise MessageError("malformed HTTP version (RFC 9112 section 2.3)")
    if _TARGET.fullmatch(parts[1]) is None:
        raise MessageError("request target has a fragment or is not printable ASCII (RFC 9112 3.2)")
    return parts[0], parts[1], parts[2]


def _ends_here(method: bytes, target: bytes, lines: Lines) -> bool:
    """Tell whether this is an OPTIONS that the gateway answers: about the server as a whole, or with no hop left.

    Source: RFC 9110 sections 7.6.2 and 9.3.7.
    """
    if method != b"OPTIONS":
        return False
    hops = lines.values(b"max-forwards")
    return (bool(hops) and whole_number(hops, "max-forwards") == 0) or target == b"*"


def _assemble(method: bytes, target: bytes, is_http_10: bool, lines: Lines) -> RequestHead | Denial:
    for name in _SINGLE:
        if len(lines.values(name)) > 1:
            raise MessageError(f"{name.decode()} is repeated")
    authority, host, target = _destination(method, target, is_http_10, lines)
    options = connection_options(lines.values(b"connection"))
    length = _body_length(is_http_10, lines)
    if length is None:
        return Denial(reason=Reason.NOT_IMPLEMENTED, internal="transfer coding other than chunked")
    raw_path, _, query = target.partition(b"?")
    reading = read_path(raw_path)
    return RequestHead(
        method=method.decode("ascii"),
        target=target,
        path=reading.path,
        quirks=reading.quirks,
        query=query,
        host=host,
        authority=authority,
        fields=tuple(lines.fields),
        body_length=length,
        authorization=tuple(lines.values(b"authorization")),
        keeps_alive=keeps_alive(options, is_http_10=is_http_10),
        is_http_10=is_http_10,
        expects_continue=_expects_continue(is_http_10, lines) and length != 0,
        upgrade=_upgrade(is_http_10, length, options, lines),
        connection_options=options,
        ends_here=_ends_here(method, target, lines),
        is_from_browser=bool(lines.values(b"origin") or lines.values(b"sec-fetch-site")),
    )


def _destination(
    method: bytes, target: bytes, is_http_10: bool, lines: Lines
) -> tuple[bytes, str, bytes]:
    """Return the authority, the host in it and the origin-form target (RFC 9112 sections 3.2 and 3.3).

    The scheme of an absolute target is not believed: what the connection is, only the listener knows.
    """
    hosts = lines.values(b"host")
    if len(hosts) > 1 or (not hosts and not is_http_10):
        raise MessageError("exactly one Host is required (RFC 9112 section 3.2)")
    authority = hosts[0] if hosts else b""
    host = "" if is_http_10 and not authority else _host_name(authority)
    if target.startswith(b"/"):
        return _undotted(authority), host, target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        # It replaces Host, which has to be well-formed all the same (section 3.2.2).
        authority, target = absolute[1], absolute[2]
        if not target.startswith(b"/"):
            target = b"*" if method == b"OPTIONS" and not target else b"/" + target
        return _undotted(authority), _host_name(authority), target
    if target == b"*" and method == b"OPTIONS":
        return _undotted(authority), host, target
    raise MessageError("request target is neither origin-form nor absolute-form (RFC 9112 3.2)")


def _host_name(authority: bytes) -> str:
    """Return the lower-case host without port and trailing dot (RFC 9110 section 7.2), an IPv6 address in the one
    spelling of RFC 5952, as routes have it.
    """
    found = _HOST.fullmatch(authority)
    if found is None or int(found[3] or 0) > 65535 or len(authority) > _HOST_BYTES_MAX:
        raise MessageError("malformed host: a name or address, and a port (RFC 9110 section 7.2)")
    if found[2] is not None:
        return found[2].decode("ascii").lower()
    try:
        return f"[{IPv6Address(found[1].decode('ascii'))}]"
    except AddressValueError:
        raise MessageError("malformed host: not an IPv6 address (RFC 3986 section 3.2.2)") from None


def _undotted(authority: bytes) -> bytes:
    """Return a well-formed authority without the dot at the end of its name.

    Some upstreams know `a.test.` as another host than `a.test`: they are told the one that routes are found by.
    """
    name, colon, port = authority.partition(b":")
    return name[:-1] + colon + port if name.endswith(b".") else authority


def _body_length(is_http_10: bool, lines: Lines) -> int | None:
    """Return the body's length, `CHUNKED`, or None for a coding that is not implemented.

    Source: RFC 9112 section 6.
    """
    lengths = lines.values(b"content-length")
    codings = lines.values(b"transfer-encoding")
    if not codings:
        return _content_length(lengths) if lengths else 0
    if lengths or is_http_10:
        raise MessageError(
            "transfer-encoding beside content-length, or in HTTP/1.0 (RFC 9112 section 6.1)"
        )
    if is_chunked(codings):
        return CHUNKED
    members = list_members(codings)
    *before, last = members or [b""]
    if len(codings) > 1 or last != b"chunked" or not before or b"chunked" in before:
        raise MessageError("chunked is not the last transfer coding, once (RFC 9112 section 6.3)")
    return None


def _content_length(lengths: Sequence[bytes]) -> int:
    """Read the length. A leading zero is refused, though it is a digit: some readers take it for octal."""
    length = whole_number(lengths, "content-length")
    if lengths[0].startswith(b"0") and lengths[0] != b"0":
        raise MessageError("content-length has a leading zero (RFC 9110 section 8.6)")
    return length


def _expects_continue(is_http_10: bool, lines: Lines) -> bool:
    expectations = lines.values(b"expect")
    if not expectations:
        return False
    if expectations[0].lower() != b"100-continue":
        raise MessageError("unknown expectation (RFC 9110 section 10.1.1)")
    return not is_http_10  # an HTTP/1.0 client's expectation is ignored (RFC 9110 section 10.1.1)


def _upgrade(is_http_10: bool, length: int, options: frozenset[bytes], lines: Lines) -> bytes:
    """Return the protocol that is asked for, or nothing where an upgrade is ignored (RFC 9110 section 7.8).

    HTTP in any other dress is never passed on: through the tunnel a client would speak past the policy to an upstream
    that accepts it.
    """
    values = lines.values(b"upgrade")
    if not values:
        return b""
    offered = protocols(values)
    if is_http_10 or length != 0 or b"upgrade" not in options or len(offered) != 1:
        return b""
    return b"" if offered[0].startswith(_HTTP_AGAIN) else offered[0]
