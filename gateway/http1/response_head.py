"""Reads one response head of an upstream: from its exact bytes to a `ResponseHead`.

Knows how a response tells its length (RFC 9112 section 6.3). What an upstream gets wrong here is never repaired: a
response that two readers could split differently must not reach a client as if it were whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.domain.request import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.http1.fields import (
    Lines,
    MessageError,
    connection_options,
    is_chunked,
    keeps_alive,
    protocols,
    whole_number,
)
from gateway.http1.memory import Memory

_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?(?=\r\n)"
)

_REMEMBERED_BYTES_MAX: Final = 2048
_FIELDS_MAX: Final = 200

_TIMEOUT: Final = re.compile(rb"(?i)(?:^|[,; \t])timeout[ \t]*=[ \t]*\"?([0-9]{1,9})")
_IDLE_MARGIN_SECONDS: Final = 2
"""Deadlines are looked at once a second; the rest is for the request on its way."""


class ResponseHeadReader:
    """Reads heads and remembers the latest: within one second an upstream says the same again and again."""

    def __init__(self, remembered_max: int = 256) -> None:
        self._remembered: Memory[bytes, ResponseHead] = Memory(remembered_max)
        self._without_body: Memory[bytes, ResponseHead] = Memory(remembered_max)  # answers to HEAD

    def read(self, raw: bytes, *, to_head_request: bool) -> ResponseHead:
        """Read `raw`, one whole head with its empty line; raises `MessageError`.

        A response to a HEAD request has no body whatever its fields say (RFC 9112 section 6.3, rule 1).
        """
        remembered = self._without_body if to_head_request else self._remembered
        known = remembered.recent.get(raw) or remembered.recall(raw)
        if known is not None:
            return known
        head = _read(raw, to_head_request)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            remembered.keep(raw, head)
        return head


def _read(raw: bytes, to_head_request: bool) -> ResponseHead:
    start = _STATUS_LINE.match(raw)
    if start is None:
        raise MessageError(
            "status line is not HTTP/1.1 or 1.0 with a status of 100 to 599 (RFC 9112 section 4)"
        )
    is_http_10, status = start[1] == b"0", int(start[2])
    lines = Lines(raw[start.end() :])
    if len(lines.fields) > _FIELDS_MAX:
        raise MessageError(f"more than {_FIELDS_MAX} fields")
    options = connection_options(lines.values(b"connection"))
    length = _body_length(status, is_http_10, to_head_request, lines)
    idle_seconds = _idle_seconds(lines.values(b"keep-alive"))
    return ResponseHead(
        status=status,
        reason=start[3] or b"",
        fields=tuple(lines.fields),
        body_length=length,
        keeps_alive=length != UNTIL_CLOSE
        and idle_seconds is not None
        and keeps_alive(options, is_http_10=is_http_10)
        and not (status == 204 and _has_content(lines)),
        idle_seconds_max=idle_seconds or 0.0,
        is_http_10=is_http_10,
        upgrade=_new_protocol(is_http_10, options, lines) if status == 101 else b"",
        connection_options=options,
    )


def _new_protocol(is_http_10: bool, options: frozenset[bytes], lines: Lines) -> bytes:
    """Return what the connection speaks from now on (RFC 9110 section 7.8)."""
    chosen = protocols(lines.values(b"upgrade"))
    if len(chosen) != 1 or b"upgrade" not in options or is_http_10:
        raise MessageError("101 does not name one protocol in upgrade (RFC 9110 section 15.2.2)")
    return chosen[0]


def _idle_seconds(values: Sequence[bytes]) -> float | None:
    """Return how long the connection may be kept idle, 0 if `Keep-Alive` does not say, None if not at all.

    Source: RFC 2068 section 19.7.1.1. A request that leaves in the moment in which the upstream gives up waiting is
    lost, so it is not used to the last second.
    """
    found = _TIMEOUT.search(b",".join(values)) if values else None
    if found is None:
        return 0.0
    seconds = int(found[1])
    return max(seconds - _IDLE_MARGIN_SECONDS, seconds / 2) or None


def _has_content(lines: Lines) -> bool:
    """Tell whether a response announces content."""
    lengths = lines.values(b"content-length")
    return bool(lines.values(b"transfer-encoding")) or (bool(lengths) and int(lengths[0]) > 0)


def _body_length(status: int, is_http_10: bool, to_head_request: bool, lines: Lines) -> int:
    """Apply the rules of RFC 9112 section 6.3 in their order, refusing where they conflict."""
    lengths = lines.values(b"content-length")
    codings = lines.values(b"transfer-encoding")
    if codings and (lengths or is_http_10 or not is_chunked(codings)):
        raise MessageError(
            "transfer-encoding is not chunked, beside content-length, or in HTTP/1.0 (RFC 9112 6.1)"
        )
    length = whole_number(lengths, "content-length") if lengths else UNTIL_CLOSE
    if status < 200 and _has_content(lines):
        raise MessageError("an interim response announces content (RFC 9110 section 15.2)")
    if to_head_request or status < 200 or status in (204, 304):
        return 0
    return CHUNKED if codings else length
