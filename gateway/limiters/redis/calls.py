"""What is asked of Redis: commands and scripts, each of which is answered once or fails.

Knows how a command is written (RESP: a count, then each part behind its length), because most parts are the same each
time and need not be written again. It must not know connections, nor what an answer means.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.limiters.redis.scripts import Script
from gateway.ports import LimiterUnavailable


def packed(*parts: bytes) -> bytes:
    """Return parts of a command as they are sent."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


class Call:
    """A command. `finish` is told the answer, `fail` why there is none; one of them is, once.

    Made of `count` parts, written as `body`, behind what calls `script`, if it calls one. `key` is one that it
    concerns, for a cluster to find its way; `hops` counts how often it was sent on there.
    """

    __slots__ = ("_body", "_count", "_script", "deadline", "hops", "key")

    def __init__(
        self, count: int, body: bytes, key: bytes = b"", script: Script | None = None
    ) -> None:
        self._count = count
        self._body = body
        self._script = script
        self.key = key
        self.deadline = 0.0
        self.hops = 0

    def written(self) -> bytes:
        """Return the command as it is sent."""
        script = self._script
        if script is None:
            return b"*%d\r\n%b" % (self._count, self._body)
        return b"*%d\r\n%b%b" % (2 + self._count, script.by_digest, self._body)

    def in_full(self) -> bytes:
        """Return the command for a Redis that has not kept the script; it does from then on."""
        if self._script is None:
            return self.written()
        return b"*%d\r\n%b%b" % (2 + self._count, self._script.by_text, self._body)

    def finish(self, reply: Any) -> None:
        """Take the answer."""

    def fail(self, error: LimiterUnavailable) -> None:
        """Take note that there is none; whether the command was carried out is not known."""


class Awaited(Call):
    """A call that a task waits for, by `done`."""

    __slots__ = ("done",)

    def __init__(
        self, count: int, body: bytes, key: bytes = b"", script: Script | None = None
    ) -> None:
        super().__init__(count, body, key, script)
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def finish(self, reply: Any) -> None:
        """Hand on the answer."""
        if not self.done.done():
            self.done.set_result(reply)

    def fail(self, error: LimiterUnavailable) -> None:
        """Raise `error` where it is waited for."""
        if not self.done.done():
            self.done.set_exception(error)


def command(*parts: bytes, key: bytes = b"") -> Call:
    """Return a command that nobody waits for."""
    return Call(len(parts), packed(*parts), key)


def asked(*parts: bytes, key: bytes = b"") -> Awaited:
    """Return a command that is waited for."""
    return Awaited(len(parts), packed(*parts), key)
