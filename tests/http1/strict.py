"""A second reader of request heads, written from the RFCs alone, to compare ours with.

It shares no code, no regular expression and no parser with `gateway`: bytes are walked by hand.
"""

from __future__ import annotations

import re
import socket
import string
from dataclasses import dataclass

TCHARS = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
HOST_CHARS = frozenset((string.ascii_letters + string.digits + "-_.").encode())
DIGITS = frozenset(b"0123456789")
CHUNKED = -1


@dataclass(frozen=True)
class Strict:
    """What a request says; a request that is refused is None instead."""

    method: bytes
    target: bytes
    authority: bytes
    host: str
    fields: tuple[tuple[bytes, bytes], ...]
    body_length: int
    keeps_alive: bool
    upgrade: bytes
    expects_continue: bool


def read_strictly(raw: bytes) -> Strict | None:
    """Read one whole head, which ends with its first empty line."""
    assert raw.endswith(b"\r\n\r\n")
    first, *rest = raw[:-4].split(b"\r\n")
    if any(line.find(mark) >= 0 for line in (first, *rest) for mark in (b"\r", b"\n", b"\0")):
        return None
    fields = []
    for line in rest:
        field = _field(line)
        if field is None:
            return None
        fields.append(field)
    words = first.split(b" ")
    if len(words) != 3 or not words[0] or not _consists_of(words[0], TCHARS):
        return None
    method, target, version = words
    if version not in {b"HTTP/1.0", b"HTTP/1.1"} or len(method) > 32 or len(target) > 8192:
        return None
    if not target or any(not 0x20 < byte < 0x7F or byte == 0x23 for byte in target):
        return None
    if len(fields) > 100:
        return None
    return _judge(method, target, version == b"HTTP/1.0", tuple(fields))


def _field(line: bytes) -> tuple[bytes, bytes] | None:
    colon = line.find(b":")
    if colon <= 0 or not _consists_of(line[:colon], TCHARS):
        return None
    value = line[colon + 1 :].strip(b" \t")
    if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in value):
        return None
    return line[:colon], value


def _consists_of(text: bytes, alphabet: frozenset[int]) -> bool:
    return set(text) <= alphabet


def _is_token(text: bytes) -> bool:
    return bool(text) and _consists_of(text, TCHARS)


def _judge(
    method: bytes, target: bytes, is_old: bool, fields: tuple[tuple[bytes, bytes], ...]
) -> Strict | None:
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    if method.lower() in {b"connect", b"trace"}:
        return None
    if method == b"OPTIONS" and b"max-forwards" in values:
        (hops, *more) = values[b"max-forwards"]
        if more or not hops or not _consists_of(hops, DIGITS) or len(hops) > 18:
            return None
    if len(values.get(b"content-type", [])) > 1:
        return None
    place = _place(method, target, is_old, values.get(b"host", []))
    length = _length(is_old, values)
    options = _members(values.get(b"connection", []))
    if place is None or length is None or not all(map(_is_token, options)):
        return None
    expectations = values.get(b"expect", [])
    if expectations and (
        len(expectations) > 1 or expectations[0].decode("latin-1").lower() != "100-continue"
    ):
        return None
    upgrade = _upgrade(values.get(b"upgrade", []))
    if upgrade is None:
        return None
    return Strict(
        method=method,
        target=place[2],
        authority=re.sub(rb"^([^:]*)\.(:|$)", rb"\1\2", place[0]),
        host=place[1],
        fields=fields,
        body_length=length,
        keeps_alive=b"close" not in options and (not is_old or b"keep-alive" in options),
        upgrade=b"" if is_old or length or b"upgrade" not in options else upgrade,
        expects_continue=bool(expectations) and length != 0 and not is_old,
    )


def _members(values: list[bytes]) -> list[bytes]:
    members: list[bytes] = []
    for value in values:
        parts = (part.strip(b" \t") for part in value.split(b","))
        members.extend(part.lower() for part in parts if part)
    return members


def _upgrade(values: list[bytes]) -> bytes | None:
    offered = _members(values)
    for protocol in offered:
        if not all(map(_is_token, protocol.split(b"/", 1))):
            return None
    if len(offered) != 1 or offered[0][:2] in {b"h2", b"h3"}:
        return b""
    if offered[0][:4] == b"http" or offered[0][:3] == b"tls":
        return b""
    return offered[0]


def _place(
    method: bytes, target: bytes, is_old: bool, hosts: list[bytes]
) -> tuple[bytes, str, bytes] | None:
    if len(hosts) > 1 or (not hosts and not is_old):
        return None
    authority = hosts[0] if hosts else b""
    host = "" if is_old and not authority else _host(authority)
    if host is None:
        return None
    if target[:1] == b"/" or (method == b"OPTIONS" and target == b"*"):
        return authority, host, target
    scheme, colon, rest = target.partition(b"://")
    if not colon or scheme.lower() not in {b"http", b"https"}:
        return None
    end = min(i for i in (rest.find(b"/"), rest.find(b"?"), len(rest)) if i >= 0)
    authority, path = rest[:end], rest[end:]
    absolute_host = _host(authority)
    if absolute_host is None:
        return None
    if not path and method == b"OPTIONS":
        return authority, absolute_host, b"*"
    return authority, absolute_host, path if path[:1] == b"/" else b"/" + path


def _host(authority: bytes) -> str | None:
    if not authority or len(authority) > 255:
        return None
    if authority[:1] == b"[":
        name, bracket, port = authority[1:].partition(b"]")
        try:
            socket.inet_pton(socket.AF_INET6, name.decode("ascii"))
        except (OSError, UnicodeDecodeError, ValueError):
            return None
        if not bracket or (port and port[:1] != b":"):
            return None
        host, port = "[" + name.decode("ascii").lower() + "]", port[1:]
    else:
        raw_host, _, port = authority.partition(b":")
        labels = raw_host.split(b".")
        if labels[-1] == b"":
            labels.pop()
        if not labels or b"" in labels or not _consists_of(raw_host, HOST_CHARS):
            return None
        host = b".".join(labels).decode("ascii").lower()
    if not _consists_of(port, DIGITS) or len(port) > 5 or int(port or b"0") > 65535:
        return None
    return host


def _length(is_old: bool, values: dict[bytes, list[bytes]]) -> int | None:
    lengths = values.get(b"content-length")
    codings = values.get(b"transfer-encoding")
    if codings is not None:
        is_good = lengths is None and not is_old and [c.lower() for c in codings] == [b"chunked"]
        return CHUNKED if is_good else None
    if lengths is None:
        return 0
    if len(lengths) > 1 or not 0 < len(lengths[0]) <= 18 or not _consists_of(lengths[0], DIGITS):
        return None
    return int(lengths[0]) if lengths[0] == b"0" or lengths[0][:1] != b"0" else None
