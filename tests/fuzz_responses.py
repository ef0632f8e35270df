"""Feeds the gateway mutated responses and compares what its client reads with an independent reading.

The second reader is h11, on both sides. Whatever a client takes for a whole response, h11 must have read as just that
response from the backend's bytes; and a connection serves another request only if h11 has read exactly one response
from it, with nothing after it, on a connection that stays open.

    python -m tests.fuzz_responses --seconds 600 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from random import Random
from typing import Final

import h11
import uvloop

from gateway.domain.timeouts import Timeouts
from tests.harness import Plane, plane, request
from tests.wire import read_content, read_request, reset

_METHODS: Final = ("GET", "GET", "GET", "HEAD", "POST")

_LINES: Final = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 500 \xff", b"HTTP/1.1 205 x",
)  # fmt: skip
_FIELDS: Final = (
    b"Content-Type: text/plain", b"X: y", b"Connection: close", b"Connection: keep-alive", b"Set-Cookie: a=b",
    b"Keep-Alive: timeout=5", b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Content-Length: 0",
    b"Connection: X", b"Trailer: X", b"X-Empty:", b"Date: Tue, 15 Nov 1994 08:12:31 GMT",
)  # fmt: skip
_INTERIM: Final = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 102 x\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
)
_SPICE: Final = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"5", b"f", b"-", b"+", b"\x0b", b"\xff",
    b"\r\n\r\n", b"\r\n ", b"0\r\n\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"5\r\nhello\r\n", b"chunked", b"1", b"x",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Script:
    """What the backend does with one request: the pieces it sends, and how it ends."""

    method: str
    pieces: tuple[bytes, ...]
    then: str

    @property
    def raw(self) -> bytes:
        return b"".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Reading:
    """What h11 made of some bytes."""

    is_whole: bool
    status: int = 0
    content: bytes = b""
    may_go_on: bool = False


def compose(random: Random) -> bytes:
    """Return a response that is mostly well-formed."""
    body = random.choice((b"", b"hello", b"x" * random.randrange(300)))
    fields = random.sample(_FIELDS, random.randrange(4))
    framing = random.randrange(3)
    if framing == 0:
        fields.append(b"Content-Length: %d" % len(body))
    elif framing == 1:
        fields.append(b"Transfer-Encoding: chunked")
        cut = random.randrange(len(body) + 1)
        parts = [part for part in (body[:cut], body[cut:]) if part]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        body += random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"))
    random.shuffle(fields)
    interim = random.choice(_INTERIM) if random.random() < 0.15 else b""
    return interim + b"\r\n".join([random.choice(_LINES), *fields, b"", body])


def mutate(raw: bytes, random: Random) -> bytes:
    """Return `raw` with something wrong, mostly."""
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        place = random.randrange(len(raw) + 1)
        match random.randrange(7):
            case 0:
                raw = raw[:place] + random.choice(_SPICE) + raw[place:]
            case 1:
                raw = raw[:place] + raw[place + random.randrange(1, 4) :]
            case 2:
                raw = raw[:place] + bytes([random.randrange(256)]) + raw[place + 1 :]
            case 3:
                raw = raw[:place]
            case 4:
                raw += random.choice((raw, *_SPICE))
            case 5:
                raw = raw.replace(b"\r\n", random.choice((b"\n", b"\r", b"\r\r\n")), 1)
            case _:
                end = place + random.randrange(1, 30)
                raw = raw[:end] + raw[place:end] + raw[end:]
    return raw


def script(random: Random) -> Script:
    """Return what the backend does next."""
    method = random.choice(_METHODS)
    raw = mutate(compose(random), random)
    cuts = sorted(random.randrange(len(raw) + 1) for _ in range(random.choice((0, 0, 1, 3))))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    then = random.choice(("close", "close", "reset"))
    if read(raw, method, ends=False).is_whole and random.random() < 0.8:
        then = "keep"
    return Script(method, tuple(pieces), then)


def read(raw: bytes, method: str, *, ends: bool) -> Reading:
    """Read one response as h11 does; `ends` tells whether the connection ended in order after `raw`."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    if ends:
        connection.receive_data(b"")
    status, content, is_kept = 0, b"", False
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status, is_kept = event.status_code, _is_kept(event)
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                rest, _ = connection.trailing_data
                is_open = is_kept and not (ends or rest)
                return Reading(True, status, content, may_go_on=is_open)
            elif not isinstance(event, h11.InformationalResponse):
                return Reading(False)
    except h11.RemoteProtocolError:
        return Reading(False)


def _is_kept(response: h11.Response) -> bool:
    """Tell whether the connection may serve another request, if the response has an end of its own.

    h11 itself keeps no connection of HTTP/1.0.
    """
    values = [value for name, value in response.headers if name == b"connection"]
    options = [option.strip().lower() for value in values for option in value.split(b",")]
    if b"close" in options:
        return False
    return response.http_version == b"1.1" or b"keep-alive" in options


@dataclass
class Bench:
    """The backend that plays scripts, and what it noticed."""

    script: Script | None = None
    played: Script | None = None
    asked_after: list[bytes] = field(default_factory=list)
    served: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play the script for the first request that finds one; answer others with their number."""
        last: Script | None = None
        while True:
            asked = await read_request(reader)
            await read_content(reader, asked)
            playing, self.script = self.script, None
            if playing is None:
                self.served += 1
                if last is not None and last is self.played:
                    self.asked_after.append(asked.head)
                body = b"answer %d" % self.served
                head = b"HTTP/1.1 200 OK\r\nX-Answer: x\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(head if asked.line.startswith("HEAD ") else head + body)
                continue
            last = self.played = playing
            for piece in playing.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if playing.then == "reset":
                await asyncio.sleep(0.002)  # so that most of it arrives before
                if not writer.transport.is_closing():
                    reset(writer)
                return
            if playing.then == "close":
                return


async def check(held: Plane, bench: Bench, played: Script, *, must_arrive: bool = False) -> str:
    """Play one script; return what is wrong with what became of it, or nothing.

    `must_arrive` expects what is whole to reach the client; else it may be refused.
    """
    bench.script = played
    bench.asked_after.clear()
    client = await held.send(request(method=played.method, target="/open"))
    received = await client.until_closed()
    client.close()
    got = read(received, played.method, ends=True)
    truth = read(played.raw, played.method, ends=played.then == "close")
    alone = read(played.raw, played.method, ends=False)
    if not received:
        return "the client got nothing"
    is_ours = b"X-Gateway-Error-Source: gateway" in received.partition(b"\r\n\r\n")[0]
    is_repeated = b"\r\nX-Answer: " in received
    if is_repeated and (played.method == "POST" or (played.raw and played.then != "reset")):
        return "a request was repeated that had an answer, or must not be"
    if must_arrive and (is_ours or is_repeated or not got.is_whole):
        return f"a whole response did not arrive: {received!r}"
    if got.is_whole and not (is_ours or is_repeated):
        if not truth.is_whole:
            return f"a whole response out of a broken one: {received!r}"
        if (got.status, got.content) != (truth.status, truth.content):
            return f"another response: {received!r}"
    bench.script = None
    following = await held.answer(request(target="/open"))
    if following.body != b"answer %d" % bench.served:
        return f"the next request got {following!r}"
    if bench.asked_after and not (got.is_whole and alone.may_go_on and not is_ours):
        return "a connection in doubt was used again"
    return ""


async def fuzz(seed: int, *, runs: int = 0, seconds: float = 0.0) -> tuple[int, list[str]]:
    """Play `runs` scripts, or as many as fit into `seconds`; return how many, and what was wrong."""
    random = Random(seed)
    wrong: list[str] = []
    played = 0
    until = time.monotonic() + seconds
    while (played < runs) if runs else (time.monotonic() < until):
        bench = Bench()
        async with plane(
            bench.serve, timeouts=Timeouts(response_seconds=5, idle_seconds=5)
        ) as held:
            for _ in range(min(500, runs - played) if runs else 500):
                playing = script(random)
                played += 1
                if why := await check(held, bench, playing):
                    wrong.append(f"{why}\n  {playing}")
                held.recorded.outcomes.clear()
                held.clients.clear()
                held.seen.clear()
    return played, wrong


def main() -> None:
    """Fuzz for as long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_responses", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        played, wrong = uvloop.run(fuzz(options.seed, seconds=options.seconds))
        print(*wrong, f"{played} responses, {len(wrong)} wrong", sep="\n")
        raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
