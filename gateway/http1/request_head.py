"""Reads one request head: from its exact bytes to a `RequestHead`, or to the reason why it is refused.

Knows the request line, the request target and the field rules of requests (RFC 9112 sections 3 and 5, RFC 9110
section 7.2). The field grammar itself is llhttp's. Reading is a pure function of the bytes, so what was read is
remembered for heads that come again, as those of keep-alive clients do. It must not know sockets, keys or routes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import httptools

from gateway.domain.denial import Denial, Reason
from gateway.domain.paths import read_path
from gateway.domain.request import CHUNKED, Field, RequestHead
from gateway.http1.fields import (
    MessageError,
    connection_options,
    content_length,
    is_chunked,
    is_token,
    keeps_alive,
    list_members,
    values_of,
)

_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_TARGET: Final = re.compile(rb"[\x21-\x22\x24-\x7e\x80-\xff]+")  # no space, no control, no '#'
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)([^#]*)")
_HOST: Final = re.compile(
    rb"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::(?P<port>[0-9]{0,5}))?"
)
_SINGLE: Final = (b"content-type", b"expect", b"upgrade", b"max-forwards", b"x-http-method-override")
_REMEMBERED_BYTES_MAX: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLimits:
    """How large a head may be: bytes of the target and of the whole head, and number of fields."""

    target_bytes_max: int = 8192
    head_bytes_max: int = 32768
    head_fields_max: int = 100


class _Collector:
    """Collects what llhttp reports about one head."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[Field] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), name, value.rstrip(b" \t")))


class RequestHeadReader:
    """Reads heads under one set of limits and remembers the last few hundred of them."""

    def __init__(self, limits: HeadLimits, remembered_max: int = 512) -> None:
        self._limits = limits
        self._remembered: dict[bytes, RequestHead] = {}
        self._remembered_max = remembered_max

    def read(self, raw: bytes) -> RequestHead | Denial:
        """Read `raw`, one whole head up to and including its empty line."""
        known = self._remembered.get(raw)
        if known is not None:
            return known
        try:
            head = _read(raw, self._limits)
        except MessageError as error:
            return Denial(reason=Reason.INVALID_REQUEST, internal=str(error))
        if isinstance(head, RequestHead) and len(raw) <= _REMEMBERED_BYTES_MAX:
            if len(self._remembered) >= self._remembered_max:
                self._remembered.clear()  # cheaper than an order of use, and as good for heads that repeat
            self._remembered[raw] = head
        return head


def _read(raw: bytes, limits: HeadLimits) -> RequestHead | Denial:
    line_end = raw.index(b"\r\n")
    method, target, version = _request_line(raw[:line_end])
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        return Denial(reason=Reason.VERSION_NOT_SUPPORTED, internal=version.decode("ascii"))
    if len(target) > limits.target_bytes_max:
        return Denial(reason=Reason.URI_TOO_LONG)
    fields = _fields(raw, line_end)
    if len(fields) > limits.head_fields_max:
        return Denial(reason=Reason.HEADERS_TOO_LARGE, internal=f"{len(fields)} fields")
    if method in (b"CONNECT", b"TRACE"):
        # A gateway is no tunnel to elsewhere, and TRACE would reflect credentials (RFC 9110 section 9.3.8).
        return Denial(reason=Reason.METHOD_NOT_ALLOWED)
    return _assemble(method, target, version == b"HTTP/1.0", fields)


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split the request line strictly: one space each, no repair (RFC 9112 section 3)."""
    parts = line.split(b" ")
    if len(parts) != 3 or not is_token(parts[0]):
        raise MessageError("request line is not `method SP target SP version` (RFC 9112 section 3)")
    if _VERSION.fullmatch(parts[2]) is None:
        raise MessageError("malformed HTTP version (RFC 9112 section 2.3)")
    if _TARGET.fullmatch(parts[1]) is None:
        raise MessageError("request target has a control character or a fragment (RFC 9112 3.2)")
    return parts[0], parts[1], parts[2]


def _fields(raw: bytes, line_end: int) -> tuple[Field, ...]:
    """Let llhttp read the field lines; it sees a plain request line, since methods are an open set (RFC 9110 9.1)."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(b"POST / HTTP/1.1" + raw[line_end:])
    except httptools.HttpParserUpgrade:
        pass  # told by the fields; whether it is honoured is decided later
    except httptools.HttpParserError as error:
        raise MessageError(f"{error} (RFC 9112 section 5)") from None
    return tuple(collector.fields)


def _assemble(method: bytes, target: bytes, is_http_10: bool, fields: tuple[Field, ...]) -> RequestHead | Denial:
    for name in _SINGLE:
        if len(values_of(fields, name)) > 1:
            raise MessageError(f"{name.decode()} is repeated")
    authority, target = _authority(method, target, is_http_10, fields)
    options = connection_options(fields)
    length = _body_length(is_http_10, fields)
    if length is None:
        return Denial(reason=Reason.NOT_IMPLEMENTED, internal="transfer coding other than chunked")
    expects = _expects_continue(is_http_10, fields)
    raw_path, mark, query = target.partition(b"?")
    if mark and not query:
        query = b""
    reading = read_path(raw_path)
    return RequestHead(
        method=method.decode("ascii"),
        target=target,
        path=reading.path,
        quirks=reading.quirks,
        query=query,
        host=_host_name(authority),
        authority=authority,
        fields=fields,
        body_length=length,
        authorization=tuple(values_of(fields, b"authorization")),
        keeps_alive=keeps_alive(options, is_http_10=is_http_10),
        is_http_10=is_http_10,
        expects_continue=expects and length != 0,
        upgrade=_upgrade(is_http_10, length, options, fields),
        connection_options=options,
    )


def _authority(
    method: bytes, target: bytes, is_http_10: bool, fields: tuple[Field, ...]
) -> tuple[bytes, bytes]:
    """Return the authority and the origin-form target (RFC 9112 sections 3.2 and 3.3)."""
    hosts = values_of(fields, b"host")
    if len(hosts) > 1 or (not hosts and not is_http_10):
        raise MessageError("exactly one Host is required (RFC 9112 section 3.2)")
    authority = hosts[0] if hosts else b""
    if target.startswith(b"/"):
        pass
    elif (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        authority = absolute[1]  # it replaces Host (RFC 9112 section 3.2.2)
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    elif not (target == b"*" and method == b"OPTIONS"):
        raise MessageError("request target is neither origin-form nor absolute-form (RFC 9112 3.2)")
    if authority or not is_http_10:
        _check_host(authority)
    return authority, target


def _check_host(authority: bytes) -> None:
    found = _HOST.fullmatch(authority)
    if found is None or (found["port"] and int(found["port"]) > 65535):
        raise MessageError("malformed host: no userinfo, no spaces, a port up to 65535 (RFC 9110 section 7.2)")


def _host_name(authority: bytes) -> str:
    found = _HOST.fullmatch(authority)
    if found is None:
        return ""
    return found["name"].decode("ascii").lower().rstrip(".")


def _body_length(is_http_10: bool, fields: tuple[Field, ...]) -> int | None:
    """Return the body's length, `CHUNKED`, or None for a coding that is not implemented (RFC 9112 section 6)."""
    lengths = values_of(fields, b"content-length")
    codings = values_of(fields, b"transfer-encoding")
    if codings:
        if lengths:
            raise MessageError("both transfer-encoding and content-length (RFC 9112 section 6.1)")
        if is_http_10:
            raise MessageError("transfer-encoding in an HTTP/1.0 message (RFC 9112 section 6.1)")
        if is_chunked(codings):
            return CHUNKED
        if len(codings) > 1 or not all(is_token(m) for m in list_members(codings)):
            raise MessageError("malformed transfer-encoding (RFC 9112 section 6.1)")
        return None
    return content_length(lengths) if lengths else 0


def _expects_continue(is_http_10: bool, fields: tuple[Field, ...]) -> bool:
    expectations = values_of(fields, b"expect")
    if not expectations:
        return False
    if expectations[0].lower() != b"100-continue":
        raise MessageError("unknown expectation (RFC 9110 section 10.1.1)")
    return not is_http_10  # an HTTP/1.0 client's expectation is ignored (RFC 9110 section 10.1.1)


def _upgrade(
    is_http_10: bool, length: int, options: frozenset[bytes], fields: tuple[Field, ...]
) -> bytes:
    """Return the protocol that is asked for, or nothing where an upgrade cannot be honoured (RFC 9110 section 7.8).

    h2c is never passed on: it would let a client speak past the policy to an upstream that accepts it.
    """
    offered = list_members(values_of(fields, b"upgrade"))
    if is_http_10 or length != 0 or b"upgrade" not in options or len(offered) != 1 or offered[0] == b"h2c":
        return b""
    return offered[0]
