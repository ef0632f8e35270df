"""Strict readers of HTTP/1.1, written from the RFCs alone: what a careful backend or client takes the bytes for.

They share no code and no parser with the gateway, and they repair nothing: a byte that is out of place is a fault.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field

_TCHARS = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
_DIGITS = frozenset(b"0123456789")
_HEX = frozenset(b"0123456789abcdefABCDEF")

Fields = list[tuple[bytes, bytes]]


@dataclass
class Message:
    """One message. `is_whole` once its body has ended; `fault` says what is wrong with it."""

    line: bytes = b""
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    is_whole: bool = False
    has_head: bool = False
    fault: str = ""
    until_close: bool = False
    framing: str = ""

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return b" ".join(self.line.split(b" ")[1:-1])

    @property
    def status(self) -> int:
        word = self.line.split(b" ")[1] if b" " in self.line else b""
        return int(word) if word.isdigit() else 0


def read_requests(data: bytes, *, skips_empty_line: bool = False) -> list[Message]:
    """Return the requests in `data`; the last one may be unfinished or faulty, and then nothing follows it.

    `skips_empty_line` reads past one empty line before each, as a server may (RFC 9112 section 2.2).
    """
    found: list[Message] = []
    while data:
        if skips_empty_line:
            data = data.removeprefix(b"\r\n")
        message = Message()
        found.append(message)
        rest = _read(message, data, is_request=True, method=b"")
        if rest is None:
            break
        data = rest
    return found


def read_responses(data: bytes, methods: list[bytes], *, ended: bool) -> list[Message]:
    """Return the responses in `data` to requests of `methods`; interim ones are in the list."""
    found: list[Message] = []
    asked = list(methods)
    while data:
        message = Message()
        found.append(message)
        method = asked[0] if asked else b"GET"
        rest = _read(message, data, is_request=False, method=method)
        if message.until_close and ended and not message.fault:
            message.is_whole = True
        if rest is None:
            break
        if message.status == 101:
            break  # what follows is no HTTP
        if message.status >= 200 and asked:
            asked.pop(0)
        data = rest
    return found


def _read(message: Message, data: bytes, *, is_request: bool, method: bytes) -> bytes | None:
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        bare = data.replace(b"\r\n", b"")
        if b"\n" in bare or b"\0" in bare:
            message.fault = "bare LF or NUL in a head"
        message.line = data.split(b"\r\n")[0]
        return None
    message.line, *lines = head.split(b"\r\n")
    message.has_head = True
    message.fault = _head_fault(message, lines, is_request)
    if message.fault:
        return None
    return _body(message, rest, method, is_request)


def _head_fault(message: Message, lines: list[bytes], is_request: bool) -> str:
    if any(mark in message.line for mark in (b"\r", b"\n", b"\0")):
        return "control character in the first line"
    words = message.line.split(b" ")
    if is_request:
        if len(words) != 3 or not words[0] or not set(words[0]) <= _TCHARS:
            return "request line is not three words"
        if words[2] not in {b"HTTP/1.1", b"HTTP/1.0"} or not words[1]:
            return "version or target of the request line"
    elif len(words) < 2 or words[0] not in {b"HTTP/1.1", b"HTTP/1.0"} or len(words[1]) != 3:
        return "status line"
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not set(name) <= _TCHARS:
            return f"field name {line[:40]!r}"
        value = value.strip(b" \t")
        if any(mark in value for mark in (b"\r", b"\n", b"\0")):
            return f"field value {line[:40]!r}"
        message.fields.append((name, value))
    if is_request and len(message.values(b"host")) > 1:
        return "more than one Host"
    return ""


def _body(message: Message, rest: bytes, method: bytes, is_request: bool) -> bytes | None:
    lengths, codings = message.values(b"content-length"), message.values(b"transfer-encoding")
    if not is_request and (
        method == b"HEAD" or message.status in (204, 304) or message.status < 200
    ):
        message.is_whole = True
        return rest
    if lengths and codings:
        message.fault = "Content-Length beside Transfer-Encoding"
        return None
    if codings:
        members = [part.strip(b" \t").lower() for value in codings for part in value.split(b",")]
        if [part for part in members if part] != [b"chunked"] or message.line.endswith(b"1.0"):
            message.fault = f"Transfer-Encoding {codings!r}"
            return None
        message.framing = "chunked"
        return _chunked(message, rest)
    if lengths:
        if len(lengths) > 1 or not lengths[0] or not set(lengths[0]) <= _DIGITS:
            message.fault = f"Content-Length {lengths!r}"
            return None
        message.framing = "length"
        size = int(lengths[0])
        message.body = rest[:size]
        message.is_whole = len(message.body) == size
        return rest[size:] if message.is_whole else None
    if is_request:
        message.is_whole = True
        return rest
    message.until_close = True
    message.framing = "close"
    message.body = rest
    return None


def _chunked(message: Message, rest: bytes) -> bytes | None:
    while True:
        line, end, after = rest.partition(b"\r\n")
        if not end:
            return None
        size_text, semicolon, _ = line.partition(b";")
        if semicolon:
            size_text = size_text.rstrip(b" \t")  # bad whitespace (RFC 9112 section 7.1.1)
        if not size_text or not set(size_text) <= _HEX or (semicolon and b"\n" in line):
            message.fault = f"chunk size {line[:40]!r}"
            return None
        size = int(size_text, 16)
        if size == 0:
            return _trailers(message, after)
        message.body += after[:size]
        if len(after) < size + 2:
            return None
        if after[size : size + 2] != b"\r\n":
            message.fault = "chunk does not end in CRLF"
            return None
        rest = after[size + 2 :]


def _trailers(message: Message, rest: bytes) -> bytes | None:
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            return None
        if not line:
            message.is_whole = True
            return rest
        name, colon, value = line.partition(b":")
        if not colon or not name or not set(name) <= _TCHARS:
            message.fault = f"trailer {line[:40]!r}"
            return None
        message.trailers.append((name, value.strip(b" \t")))
