"""The client: runs one case against one subject and tells what was seen on both sides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.conformance.backend import Backend, Heard
from tests.conformance.case import Case, Pause, Said, Silent
from tests.conformance.reading import Message, read_requests, read_responses
from tests.harness import TOKEN

PROBE_TARGET = b"/v1/probe"
AUTH = b"Authorization: Bearer " + TOKEN.encode()
PROBE = b"GET %b HTTP/1.1\r\nHost: probe.test\r\n%b\r\nConnection: close\r\n\r\n" % (
    PROBE_TARGET,
    AUTH,
)

_SILENCE_SECONDS = 0.15
_TURNS = 50
"""Turns of the event loop in which a byte gets from the client to the backend and back, when all are in one process."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A proxy under test.

    `patience_seconds` is how long silence must last before it is believed, `settle_seconds` how long the proxy may take
    to end what it no longer needs of the backend.
    """

    name: str
    port: int
    backend: Backend
    patience_seconds: float
    settle_seconds: float = 0.5
    token: bytes = TOKEN.encode()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run of a case was: the client's bytes back, and every connection of the backend."""

    received: bytes
    is_ended: bool
    heard: list[Heard]
    methods: list[bytes]
    is_reset: bool = False

    @property
    def responses(self) -> list[Message]:
        return read_responses(
            self.received, self.methods, ended=self.is_ended and not self.is_reset
        )

    @property
    def requests(self) -> list[tuple[Message, Heard]]:
        return [(request, heard) for heard in self.heard for request in heard.requests]


class _Client(asyncio.Protocol):
    """Keeps all that comes."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_reset = False
        self.ended = asyncio.Event()
        self.activity = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.activity.set()

    def eof_received(self) -> bool:
        self.ended.set()
        self.activity.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_reset = error is not None
        self.ended.set()
        self.activity.set()


async def run(case: Case, subject: Subject, *, cuts: tuple[int, ...] | None = None) -> Seen:
    """Run `case`; `cuts` splits its bytes into several writes at these places (an empty tuple: at every byte)."""
    subject.backend.begin(case.backend)
    transport, client = await asyncio.get_running_loop().create_connection(
        _Client, "127.0.0.1", subject.port
    )
    try:
        parts = case.sends if cuts is None else _split(case.raw, cuts)
        for part in parts:
            if client.ended.is_set():
                break
            if isinstance(part, Said):
                await subject.backend.has_said()
            if isinstance(part, Pause):
                await asyncio.sleep(part.seconds)
            else:
                transport.write(part.replace(TOKEN.encode(), subject.token))
        if case.probe and not client.ended.is_set():
            transport.write(PROBE.replace(TOKEN.encode(), subject.token))
        if client.ended.is_set():
            pass
        elif case.ends == "half-closes":
            transport.write_eof()
        elif case.ends == "closes":
            await _until_quiet(client, 0.05)
            transport.close()
        is_silent = all(isinstance(story[-1], Silent) for story in case.accepts)
        await _until_quiet(client, _SILENCE_SECONDS if is_silent else subject.patience_seconds)
    finally:
        ended, is_reset = client.ended.is_set(), client.is_reset
        transport.close()
    await subject.backend.settle(subject.settle_seconds)
    methods = [request.method for request in read_requests(case.raw)]
    return Seen(bytes(client.received), ended, subject.backend.heard, methods, is_reset)


async def _until_quiet(client: _Client, seconds: float) -> None:
    """Wait for the end of the connection, or for `seconds` without a byte.

    Time that the machine gave to others is no silence: it counts only once nothing moves in this process either.
    """
    while not client.ended.is_set():
        client.activity.clear()
        try:
            async with asyncio.timeout(seconds):
                await client.activity.wait()
        except TimeoutError:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if not client.activity.is_set():
                return


def _split(raw: bytes, cuts: tuple[int, ...]) -> list[bytes | Pause]:
    places = cuts or tuple(range(1, len(raw)))
    parts: list[bytes | Pause] = []
    for begin, end in zip((0, *places), (*places, len(raw)), strict=True):
        parts += [raw[begin:end], Pause(0.0)]
    return parts
