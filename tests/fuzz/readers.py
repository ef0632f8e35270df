"""Second readers of what was forwarded: h11, as strict servers are, and a lenient one, as old servers are.

A request is what a reader made of it: method, target, fields in order (names in lower case), body.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import h11

from tests.conformance.reading import Message


class Read(NamedTuple):
    """One request as a reader sees it."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Unreadable(Exception):
    """A reader refuses the bytes; the text says which reader and why."""


def of_message(message: Message) -> Read:
    """Return what the strict reader of the conformance suite made of a request."""
    fields = tuple((name.lower(), value) for name, value in message.fields)
    return Read(message.method, message.target, fields, message.body)


def h11_reads(data: bytes) -> list[Read]:
    """Return the whole requests in `data` as h11 reads them; raises `Unreadable`."""
    found: list[Read] = []
    rest = data
    while rest:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
        connection.receive_data(rest)
        read = _one_by_h11(connection)
        if read is None:
            return found
        found.append(read)
        trailing, _ = connection.trailing_data
        rest = bytes(trailing)
    return found


def _one_by_h11(connection: h11.Connection) -> Read | None:
    request: h11.Request | None = None
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise Unreadable(f"h11: {error}") from None
        if event is h11.NEED_DATA:
            return None
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            fields = tuple((bytes(name), bytes(value)) for name, value in request.headers)
            return Read(bytes(request.method), bytes(request.target), fields, body)
        else:
            raise Unreadable(f"h11: {event!r}")


_LINE_END = re.compile(rb"\r?\n")


def leniently(data: bytes) -> list[Read]:
    """Return the whole requests in `data` as a careless server reads them.

    Lines end in LF with or without CR, several spaces are one, folds are joined, whitespace around names is cut off,
    `chunked` anywhere in a coding will do, of several lengths the last one counts, and a size is what its digits say.
    """
    found: list[Read] = []
    rest: bytes | None = data
    while rest:
        rest = rest.lstrip(b"\r\n")
        read, rest = _one_leniently(rest)
        if read is None:
            break
        found.append(read)
    return found


def _one_leniently(data: bytes) -> tuple[Read | None, bytes]:
    lines, rest = _head_lines(data)
    if rest is None:
        return None, b""
    words = lines[0].split()
    fields: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t") and fields:
            name, value = fields.pop()
            fields.append((name, value + b" " + line.strip()))
            continue
        name, _, value = line.partition(b":")
        fields.append((name.strip().lower().replace(b"_", b"-"), value.strip()))
    body, rest = _body_leniently(fields, rest)
    if body is None or len(words) < 2:
        return None, b""
    return Read(words[0], words[1], tuple(fields), body), rest


def _head_lines(data: bytes) -> tuple[list[bytes], bytes | None]:
    lines: list[bytes] = []
    position = 0
    for end in _LINE_END.finditer(data):
        line = data[position : end.start()]
        position = end.end()
        if not line:
            return lines, data[position:]
        lines.append(line)
    return lines, None


def _body_leniently(fields: list[tuple[bytes, bytes]], rest: bytes) -> tuple[bytes | None, bytes]:
    codings = b",".join(value for name, value in fields if name == b"transfer-encoding").lower()
    lengths = [value for name, value in fields if name == b"content-length"]
    if b"chunked" in codings:
        return _chunks_leniently(rest)
    if not lengths:
        return b"", rest
    digits = re.search(rb"\d+", lengths[-1])
    size = int(digits[0]) if digits else 0
    return (rest[:size], rest[size:]) if len(rest) >= size else (None, b"")


def _chunks_leniently(rest: bytes) -> tuple[bytes | None, bytes]:
    body = b""
    while True:
        end = _LINE_END.search(rest)
        if end is None:
            return None, b""
        digits = re.match(rb"\s*(?:0x)?([0-9a-fA-F]*)", rest[: end.start()])
        size = int(digits[1] or b"0", 16) if digits else 0
        rest = rest[end.end() :]
        if size == 0:
            break
        body += rest[:size]
        rest = rest[size:].removeprefix(b"\r").removeprefix(b"\n")
    while True:
        end = _LINE_END.search(rest)
        if end is None:
            return None, b""
        line, rest = rest[: end.start()], rest[end.end() :]
        if not line:
            return body, rest
