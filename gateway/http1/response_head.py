"""Reads one response head of an upstream: from its exact bytes to a `ResponseHead`.

Knows how a response tells its length (RFC 9112 section 6.3). What an upstream gets wrong here is never repaired: a
response that two readers could split differently must not reach a client as if it were whole.
"""

from __future__ import annotations

from typing import Final

import httptools

from gateway.domain.request import CHUNKED, UNTIL_CLOSE, Field, ResponseHead
from gateway.http1.fields import (
    MessageError,
    connection_options,
    content_length,
    is_chunked,
    keeps_alive,
    list_members,
    values_of,
)

_REMEMBERED_BYTES_MAX: Final = 2048
_FIELDS_MAX: Final = 200


class _Collector:
    """Collects what llhttp reports about one head."""

    __slots__ = ("fields", "reason")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.reason = b""

    def on_status(self, reason: bytes) -> None:
        self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), name, value.rstrip(b" \t")))


class ResponseHeadReader:
    """Reads heads and remembers the last few: within one second an upstream says the same again and again."""

    def __init__(self, remembered_max: int = 256) -> None:
        self._remembered: dict[tuple[bytes, bool], ResponseHead] = {}
        self._remembered_max = remembered_max

    def read(self, raw: bytes, *, to_head_request: bool) -> ResponseHead:
        """Read `raw`, one whole head with its empty line; raises `MessageError`.

        A response to a HEAD request has no body whatever its fields say (RFC 9112 section 6.3, rule 1).
        """
        known = self._remembered.get((raw, to_head_request))
        if known is not None:
            return known
        head = _read(raw, to_head_request)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            if len(self._remembered) >= self._remembered_max:
                self._remembered.clear()
            self._remembered[raw, to_head_request] = head
        return head


def _read(raw: bytes, to_head_request: bool) -> ResponseHead:
    if raw[:9] not in (b"HTTP/1.1 ", b"HTTP/1.0 "):
        raise MessageError("status line does not start with HTTP/1.1 or HTTP/1.0 (RFC 9112 section 4)")
    is_http_10 = raw[7:8] == b"0"
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise MessageError(f"{error} (RFC 9112 section 4 or 5)") from None
    fields = tuple(collector.fields)
    if len(fields) > _FIELDS_MAX:
        raise MessageError(f"more than {_FIELDS_MAX} fields")
    status = int(raw[9:12])
    if not 100 <= status <= 599:
        raise MessageError("status code outside 100 to 599 (RFC 9110 section 15)")
    options = connection_options(fields)
    length = _body_length(status, is_http_10, to_head_request, fields)
    return ResponseHead(
        status=status,
        reason=collector.reason,
        fields=fields,
        body_length=length,
        keeps_alive=length != UNTIL_CLOSE and keeps_alive(options, is_http_10=is_http_10),
        is_http_10=is_http_10,
        upgrade=b"".join(list_members(values_of(fields, b"upgrade"))[:1]) if status == 101 else b"",
        connection_options=options,
    )


def _body_length(status: int, is_http_10: bool, to_head_request: bool, fields: tuple[Field, ...]) -> int:
    """Apply the rules of RFC 9112 section 6.3 in their order, refusing where they conflict."""
    lengths = values_of(fields, b"content-length")
    codings = values_of(fields, b"transfer-encoding")
    if lengths and codings:
        raise MessageError("both transfer-encoding and content-length (RFC 9112 section 6.3)")
    if codings and (is_http_10 or not is_chunked(codings)):
        raise MessageError("transfer coding other than chunked (RFC 9112 section 6.1)")
    length = content_length(lengths) if lengths else None
    if to_head_request or status < 200 or status in (204, 304):
        return 0
    if codings:
        return CHUNKED
    return UNTIL_CLOSE if length is None else length
