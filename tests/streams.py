"""Stand-ins for what surrounds a protocol, for tests that tell its story moment by moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class StoppedLoop:
    """An event loop of which only the clock is there, and it stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)


class FakeTransport(asyncio.Transport):
    """Remembers what is done to it. `unsent` are the bytes that the peer has not read yet."""

    def __init__(self, peername: Any = ("127.0.0.1", 5000)) -> None:
        super().__init__({"peername": peername})
        self.written: list[bytes] = []
        self.unsent = 0
        self.is_aborted = False
        self.is_closed = False
        self.is_eof_written = False
        self.is_reading_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data:
            self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_aborted or self.is_closed

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_eof_written = True

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False


class Collected:
    """A sink and a source that count what is asked of them."""

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.finished = 0
        self.aborted: list[str] = []
        self.paused = 0
        self.resumed = 0

    def write(self, content: bytes) -> None:
        self.content.append(content)

    def finish(self) -> None:
        self.finished += 1

    def abort(self, ended: str) -> None:
        self.aborted.append(ended)

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.resumed += 1
