"""What is asked of Redis: commands and scripts, each of which is answered once or fails.

Knows how each is written. It must not know connections, nor what an answer means.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.limiters.redis.scripts import Script
from gateway.ports import LimiterUnavailable

Argument = bytes | int | str


class Call:
    """A command. `finish` is told the answer, `fail` why there is none; one of them is, once.

    `keys` are the keys that it concerns, for a cluster to find its way; `script` is what it calls, if it calls one.
    """

    __slots__ = ("command", "deadline", "keys", "script")

    def __init__(
        self,
        command: tuple[Argument, ...],
        keys: tuple[bytes, ...] = (),
        script: Script | None = None,
    ) -> None:
        self.command = command
        self.keys = keys
        self.script = script
        self.deadline = 0.0

    def in_full(self) -> tuple[Argument, ...]:
        """Return the command for a Redis that has not kept the script; it does from then on."""
        if self.script is None:
            return self.command
        return (b"EVAL", self.script.text, *self.command[2:])

    def finish(self, reply: Any) -> None:
        """Take the answer."""

    def fail(self, error: LimiterUnavailable) -> None:
        """Take note that there is none; whether the command was carried out is not known."""


class Awaited(Call):
    """A call that a task waits for, by `done`."""

    __slots__ = ("done",)

    def __init__(
        self,
        command: tuple[Argument, ...],
        keys: tuple[bytes, ...] = (),
        script: Script | None = None,
    ) -> None:
        super().__init__(command, keys, script)
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def finish(self, reply: Any) -> None:
        """Hand on the answer."""
        if not self.done.done():
            self.done.set_result(reply)

    def fail(self, error: LimiterUnavailable) -> None:
        """Raise `error` where it is waited for."""
        if not self.done.done():
            self.done.set_exception(error)


def calling(
    script: Script, keys: tuple[bytes, ...], arguments: tuple[Argument, ...]
) -> tuple[Argument, ...]:
    """Return the command that calls `script`."""
    return (b"EVALSHA", script.digest, len(keys), *keys, *arguments)
