"""Makes requests to fuzz with: whole streams of a connection, sound and damaged, cut into writes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.conformance.cases.words import CRLF, HOST
from tests.conformance.corpus import GROUPS
from tests.conformance.driver import AUTH

_SEED_BYTES_MAX = 3000
_STREAM_BYTES_MAX = 6000

TOKENS: tuple[bytes, ...] = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\r\r\n", b"\n\r", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x7f",
    b"\x80", b"\xff",
    b":", b": ", b" :", b",", b";", b"=", b'"', b"\\", b"/", b"?", b"#", b"%", b"*", b"@", b"0", b"1", b"5", b"a",
    b"f", b"-", b"+", b"0x",
    b"0\r\n\r\n", b"5\r\nhello\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Connection: content-length\r\n",
    b"Connection: transfer-encoding, host\r\n",
    b"Expect: 100-continue\r\n", b"Host: evil.test\r\n", b"X-Gateway-Key-Id: forged\r\n",
    b"X_Gateway_Tenant: forged\r\n",
    b"Max-Forwards: 0\r\n", b"Via: 1.1 tollhouse\r\n", b"TE: trailers\r\n", b"Trailer: x\r\n", b" folded\r\n",
    b"\tfolded\r\n",
    b"GET /v1/smuggled HTTP/1.1\r\nHost: s.test\r\n\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"GET ", b"POST ",
    b"HEAD ", b"OPTIONS ",
    b"TRACE ", b"CONNECT ", b"http://other.test", b"/v1/", b"/../", b"%2f", b"%00", b";x=y", b'="', b"chunked",
    b"\xc4\xb1",
)  # fmt: skip

_METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"X")
_TARGETS = (
    b"/v1/a",
    b"/v1/a?b=c",
    b"/",
    b"http://other.test/v1/b",
    b"/v1/%41",
    b"*",
    b"/v1/a;b",
    b"/v1//a",
    b"/v1/a%2fb",
)
_FIELDS = (
    b"X-A: 1", b"X-A: 2", b"Accept: */*", b"Cookie: a=b", b"Connection: x-a", b"Connection: close", b"X-Empty:",
    b"X-Wide:  a\tb  ",
    b"X-Latin: \xe9", b"Content-Type: a/b", b"Expect: 100-continue", b"Via: 1.0 p", b"X_Real_IP: 1.2.3.4",
    b"Max-Forwards: 3", b"TE: trailers",
    b"Upgrade: websocket", b"Connection: upgrade", b"Forwarded: for=1.2.3.4", b"traceparent: x",
    b"Keep-Alive: timeout=1",
)  # fmt: skip
_EXTENSIONS = (b"", b"", b"", b";a", b";a=b", b';a="b;c"', b" ;a")
_TRAILERS = (b"", b"", b"X-T: 1\r\n", b"X-T: 1\r\nX-U: 2\r\n")


def seeds() -> list[bytes]:
    """Return the bytes of the conformance cases that are short enough."""
    raws = (case.raw for group in GROUPS for case in group.cases)
    return [raw for raw in raws if 0 < len(raw) <= _SEED_BYTES_MAX]


def stream(random: Random, known: Sequence[bytes]) -> bytes:
    """Return the bytes of one connection: one to three requests, most of them damaged somewhere."""
    parts = [
        random.choice(known) if random.random() < 0.3 else _sound(random)
        for _ in range(random.choice((1, 1, 2, 3)))
    ]
    data = b"".join(parts)
    for _ in range(random.choice((0, 0, 1, 1, 1, 2, 5))):
        data = _damage(random, data, known)
    return data[:_STREAM_BYTES_MAX] or b"\r\n"


def cuts(random: Random, size: int) -> tuple[int, ...]:
    """Return where the stream is cut into writes: mostly nowhere, or a few places."""
    if size < 2 or random.random() < 0.6:
        return (size,)
    return tuple(sorted({random.randrange(1, size) for _ in range(random.choice((1, 2, 5)))}))


def _sound(random: Random) -> bytes:
    """Return a request that follows the grammar."""
    method, target = random.choice(_METHODS), random.choice(_TARGETS)
    version = b"HTTP/1.1" if random.random() < 0.9 else b"HTTP/1.0"
    fields = [HOST, AUTH, *random.sample(_FIELDS, random.randrange(4))]
    content = bytes(random.choices(b"helo\r\n 0", k=random.randrange(20)))
    framing, body = _body(random, content)
    random.shuffle(fields)
    return CRLF.join((b" ".join((method, target, version)), *fields, *framing)) + CRLF * 2 + body


def _body(random: Random, content: bytes) -> tuple[list[bytes], bytes]:
    kind = random.randrange(3)
    if kind == 0:
        return [], b""
    if kind == 1:
        return [b"Content-Length: %d" % len(content)], content
    chunks, position = b"", 0
    while position < len(content):
        piece = content[position : position + random.randrange(1, 8)]
        position += len(piece)
        chunks += b"%x%b\r\n%b\r\n" % (len(piece), random.choice(_EXTENSIONS), piece)
    tail = b"0%b\r\n%b\r\n" % (random.choice(_EXTENSIONS), random.choice(_TRAILERS))
    return [b"Transfer-Encoding: chunked"], chunks + tail


def _damage(random: Random, data: bytes, known: Sequence[bytes]) -> bytes:
    place = random.randrange(len(data) + 1)
    kind = random.randrange(8)
    if kind <= 2:
        return data[:place] + random.choice(TOKENS) + data[place:]
    if kind == 3:
        return data[:place] + data[place + random.choice((1, 1, 2, 5, 20)) :]
    if kind == 4:
        token = random.choice(TOKENS)
        return data[:place] + token + data[place + len(token) :]
    if kind == 5:
        return data[:place] + bytes((random.randrange(256),)) + data[place + 1 :]
    if kind == 6:
        return _lines_moved(random, data)
    other = random.choice(known)
    return data[:place] + other[random.randrange(len(other)) :]


def _lines_moved(random: Random, data: bytes) -> bytes:
    """Repeat, drop, swap or re-case a line."""
    lines = data.split(CRLF)
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        lines.insert(second, lines[first])
    elif kind == 1:
        del lines[first]
    elif kind == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first] = lines[first].swapcase()
    return CRLF.join(lines)
