"""One attack, as a process of its own: `python -m bench.hostile.attack KIND`.

Prints `ready` once it holds what it means to hold, and goes on until it is told to stop; bounded in connections and in
rate. Its connections come from several addresses of 127.0.0.0/8, so that source ports do not run out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import signal
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

import uvloop

_AT_ONCE: Final = 128
"""Connections that are being opened at the same time."""

_FLOOD_PER_SECOND: Final = 5000
_RESET: Final = struct.pack("ii", 1, 0)


class Attacker(asyncio.Protocol):
    """One hostile connection: sends a beginning, then a drop per second; opened again when it is closed."""

    reads = True
    drop = b""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self.is_open = False

    @property
    def beginning(self) -> bytes:
        return b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.is_open = True
        self.attack.held.add(self)
        if not self.reads:
            self.transport.pause_reading()
        if self.beginning:
            self.transport.write(self.beginning)

    def go_on(self) -> None:
        if self.drop:
            self.transport.write(self.drop)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        self.attack.held.discard(self)
        self.attack.lost += 1
        self.attack.again()


class Idle(Attacker):
    """Makes one request and then keeps its connection."""

    @property
    def beginning(self) -> bytes:
        return self.attack.head("GET", self.attack.target, "")


class SlowHead(Attacker):
    """Sends a head line by line, without end (slowloris)."""

    beginning = b"GET /api/v1/jobs HTTP/1.1\r\nHost: api.test\r\n"
    drop = b"X-a: b\r\n"


class SlowBody(Attacker):
    """Sends a body byte by byte (R-U-Dead-Yet)."""

    drop = b"x"

    @property
    def beginning(self) -> bytes:
        return self.attack.head("POST", "/v1/upload", "Content-Length: 1000000\r\n")


class SlowReader(Attacker):
    """Asks for something large and reads nothing of it."""

    reads = False

    @property
    def beginning(self) -> bytes:
        return self.attack.head("GET", "/v1/large", "")


KINDS: Final[dict[str, type[Attacker]]] = {
    "idle": Idle,
    "slow-heads": SlowHead,
    "slow-bodies": SlowBody,
    "slow-readers": SlowReader,
}
FLOOD: Final = "flood"


class Attack:
    """Holds `count` connections of one kind."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self.target: str = options.target
        self.held: set[Attacker] = set()
        self.opened = 0
        self.lost = 0
        self.is_over = False

    def head(self, method: str, target: str, fields: str) -> bytes:
        return (
            f"{method} {target} HTTP/1.1\r\nHost: api.test\r\n"
            f"Authorization: Bearer {self._options.token}\r\n{fields}\r\n"
        ).encode()

    def again(self) -> None:
        """Open a connection in place of a lost one."""
        if not self.is_over:
            task = self._loop.create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        async with self._opening:
            self._number += 1
            source = f"127.0.{1 + self._options.source}.{1 + self._number % 200}"
            with contextlib.suppress(OSError):
                await self._loop.create_connection(
                    lambda: KINDS[self._options.kind](self),
                    "127.0.0.1",
                    self._options.port,
                    local_addr=(source, 0),
                )
                self.opened += 1
                return
        await asyncio.sleep(0.1)
        self.again()

    async def hold(self, ready: Callable[[], None], stopped: asyncio.Event) -> None:
        """Open all connections, say so, and drip until stopped."""
        for _ in range(self._options.count):
            self.again()
        while self.opened < self._options.count and not stopped.is_set():  # noqa: ASYNC110 - coarse
            await asyncio.sleep(0.05)
        ready()
        while not stopped.is_set():
            waiting = list(self.held)
            for n in range(0, len(waiting), 50):  # spread over the second
                for attacker in waiting[n : n + 50]:
                    if attacker.is_open:
                        attacker.go_on()
                await asyncio.sleep(50 / max(50, len(waiting)))
        self.is_over = True

    async def flood(self, ready: Callable[[], None], stopped: asyncio.Event) -> None:
        """Open connections and reset them at once, at most so many per second."""
        ready()
        started = self._loop.time()
        while not stopped.is_set():
            if self.opened >= (self._loop.time() - started) * _FLOOD_PER_SECOND:
                await asyncio.sleep(0.001)
                continue
            with contextlib.suppress(OSError):
                await self._touch()

    async def _touch(self) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            self._number += 1
            sock.bind((f"127.0.{1 + self._options.source}.{1 + self._number % 200}", 0))
            await self._loop.sock_connect(sock, ("127.0.0.1", self._options.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.opened += 1


def main() -> None:
    """Attack; print `ready`, and at the end one line of JSON: opened and lost connections."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile.attack")
    parser.add_argument("kind", choices=(*KINDS, FLOOD))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--source", type=int, required=True, help="third byte of the addresses")
    parser.add_argument("--target", required=True)
    parser.add_argument("--token", required=True)
    gc.disable()  # a pause of the load would look like one of the gateway
    print(json.dumps(uvloop.run(_run(parser.parse_args()))), flush=True)


async def _run(options: argparse.Namespace) -> dict[str, int]:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    attack = Attack(options)

    def ready() -> None:
        print("ready", flush=True)

    await (attack.flood if options.kind == FLOOD else attack.hold)(ready, stopped)
    return {"opened": attack.opened, "lost": attack.lost, "held": len(attack.held)}


if __name__ == "__main__":
    main()
