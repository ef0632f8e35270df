"""A whole gateway in this process, between transports that only remember: what a request costs without a kernel.

Opened by `gateway.assembly` from a configuration like that of `make bench`, so it is what runs in production but for
the sockets. Requests rotate over 100 keys and 12 paths like those of `load.lua`, and what they leave in the access log
is written, too.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from bench.policy import LOAD_PATHS, WIDE, Key, Policy, make_policy, mint
from bench.subjects import gateway_config
from gateway.assembly.gateway import Gateway, opened
from gateway.config import model
from gateway.control.garbage import settle_memory

PER_TURN: Final = 8
"""Requests that the loop brings in one turn: with 64 busy connections there are always some together."""

FLUSH_EVERY: Final = 400

SLOWDOWN: Final = 10**6
"""How much later everything happens that is due at a time: under valgrind a second holds few requests, and what is done
once a second would be counted for each of them.
"""

LOAD: Final = 1200
"""Different requests of a case: 12 paths of 100 keys."""

BODY: Final = b'{"title":"' + b"x" * 2036 + b'"}'

RESPONSE: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 18:55:18 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n"
    + b"x"
    * 1024
)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request: what is sent, in rotation, and the status that it must be answered with."""

    name: str
    requests: Callable[[Policy], Iterator[bytes]]
    status: int = 200


class Loop(uvloop.Loop):
    """An event loop whose streams lead nowhere: `accept` makes a connection as if a client had opened it."""

    def __init__(self) -> None:
        super().__init__()
        self.accept: Callable[[], Any] | None = None
        self.upstreams: list[Transport] = []

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        return super().call_later(delay * SLOWDOWN, callback, *args, **options)

    async def create_server(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        self.accept = self.accept or protocol_factory  # the public listener's is opened first
        return _Server()

    async def create_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        protocol = protocol_factory()
        transport = Transport(protocol)
        protocol.connection_made(transport)
        self.upstreams.append(transport)
        return transport, protocol


class _Server:
    sockets: Sequence[socket.socket] = ()

    def close(self) -> None:
        """Do nothing: nothing was opened."""

    async def wait_closed(self) -> None:
        """Return at once."""


class Transport(asyncio.Transport):
    """Remembers what is written; its socket has a peer that never says anything."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._sock, self._peer = socket.socketpair()
        self.protocol = protocol
        self._is_closing = False
        self._infos = {"peername": ("127.0.0.1", 50000), "socket": self._sock}
        self.written: list[bytes] = []
        self.write = self.written.append  # type: ignore[assignment, method-assign]  # as cheap as can be

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._infos.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._is_closing

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Do nothing: nothing comes by itself."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        self.protocol.connection_lost(None)
        self._sock.close()
        self._peer.close()

    def abort(self) -> None:
        self.close()


class Driver:
    """Brings requests to one gateway, some in each turn of the loop, and answers those that are forwarded."""

    def __init__(self, gateway: Gateway, policy: Policy) -> None:
        self._gateway = gateway
        self._policy = policy
        loop = cast("Loop", asyncio.get_running_loop())
        self._upstreams = loop.upstreams
        self._clients: list[tuple[asyncio.Protocol, Transport]] = []
        assert loop.accept is not None
        for _ in range(PER_TURN):
            protocol = loop.accept()
            transport = Transport(protocol)
            protocol.connection_made(transport)
            self._clients.append((protocol, transport))

    def requests(self, case: Case) -> Iterator[bytes]:
        """Return the endless requests of a case."""
        return case.requests(self._policy)

    async def check(self, case: Case) -> None:
        """Send `case` once to fill what remembers, then again; raise `ValueError` unless each answer has its status."""
        requests = self.requests(case)
        for expected in (b"HTTP/1.1 ", b"HTTP/1.1 %d " % case.status):
            for turn in _turns(islice(requests, LOAD)):
                await self._turn(turn)
                await asyncio.sleep(0)
                await self._settle()
                for _, transport in self._clients[: len(turn)]:
                    answer = b"".join(transport.written)
                    transport.written.clear()
                    if not answer.startswith(expected):
                        raise ValueError(f"{case.name}: {answer[:200]!r}")
            await self._flush()

    def hang_up(self) -> None:
        """Close all connections: a gateway that stops waits for those of clients, here a million times as long."""
        for _, transport in self._clients:
            transport.close()

    async def _settle(self) -> None:
        """Wait until nothing is under way: first requests look up their key, connect and so on."""
        while self._gateway.here.listener.in_flight:
            await asyncio.sleep(0)
            self._respond()
        await asyncio.sleep(0)

    async def run(self, requests: Iterator[bytes], number: int) -> None:
        """Serve `number` requests, and write their lines of the access log."""
        for n, turn in enumerate(_turns(islice(requests, number)), 1):
            await self._turn(turn)
            for _, transport in self._clients:
                transport.written.clear()
            if n * PER_TURN % FLUSH_EVERY == 0:
                await self._flush()

    async def _flush(self) -> None:
        """Write the access log, however long that takes: under valgrind longer than a gateway would wait."""
        while True:
            try:
                return await self._gateway.recorders.flush()
            except TimeoutError:
                continue

    async def _turn(self, requests: Sequence[bytes]) -> None:
        for (protocol, _), raw in zip(self._clients, requests, strict=False):
            protocol.data_received(raw)
        await asyncio.sleep(0)  # what was written leaves at the end of the turn
        self._respond()
        await asyncio.sleep(0)

    def _respond(self) -> None:
        for transport in self._upstreams:
            if transport.written:
                transport.written.clear()
                transport.protocol.data_received(RESPONSE)


def _turns(requests: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    while turn := tuple(islice(requests, PER_TURN)):
        yield turn


@asynccontextmanager
async def driver(folder: Path) -> AsyncIterator[Driver]:
    """Open the gateway with its files in `folder`; the running loop must be a `Loop`."""
    policy = make_policy()
    config = model.Config.model_validate(_config(policy))
    async with opened(config, folder / "config.yaml") as gateway:
        settle_memory()
        driven = Driver(gateway, policy)
        yield driven
        driven.hang_up()


def _config(policy: Policy) -> dict[str, Any]:
    """Return the configuration of `make bench` with all three kinds of buckets, and with an access log."""
    config = gateway_config(policy, 0, 1)
    config["listeners"]["metrics"]["bind"] = "127.0.0.1:0"
    config["listeners"]["public"]["bind"] = "127.0.0.1:0"
    config["plans"] = {
        "wide": {"rate": {"per_minute": WIDE}, "owners": ["lineage", "tenant"]},
        "narrow": {"rate": {"per_day": 1}},
        "routes": {"rate": {"per_minute": WIDE}, "owners": ["route"]},
    }
    for route in config["routes"]:
        route["plan"] = "routes"
    for key in _narrow(policy):
        entry = next(e for e in config["bootstrap"]["keys"] if e["id"] == key.name)
        entry |= {"plan": "narrow", "scopes": list(policy.scopes)}
    config["store"]["negative_ttl"] = "1h"  # valgrind is slow: what is unknown stays so
    config["authentication"] = {"throttle": {"failures": 10**9}}
    config["telemetry"] = {"access_log": {"path": "access.log", "flush": "1h"}}
    return config


# ---- the cases


def _narrow(policy: Policy) -> Sequence[Key]:
    return policy.keys[1::10]


def _request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: application/json\r\n"
        f"User-Agent: tollhouse-bench\r\n{credential}{length}\r\n"
    )
    return head.encode("ascii") + body


def _gets(tokens: Sequence[str], paths: Sequence[str] = LOAD_PATHS) -> Iterator[bytes]:
    return cycle([_request("GET", path, token) for token in tokens for path in paths])


def _wide(policy: Policy) -> list[str]:
    return [key.token for key in policy.load_keys]


def _unseen(policy: Policy) -> Iterator[bytes]:
    tokens = _wide(policy)
    for n in count():
        path = LOAD_PATHS[n % len(LOAD_PATHS)].partition("?")[0]
        yield _request("GET", f"{path}?n={n:09}", tokens[n % len(tokens)])


def _posts(policy: Policy) -> Iterator[bytes]:
    paths = [route.path for route in policy.routes if route.method == "POST"]
    return cycle([_request("POST", p, token, BODY) for token in _wide(policy) for p in paths])


def _mistyped(policy: Policy) -> Iterator[bytes]:
    return _gets([token[:-1] + ("0" if token[-1] != "0" else "1") for token in _wide(policy)])


def _forbidden(policy: Policy) -> Iterator[bytes]:
    pairs = (
        _request(route.method, route.example, key.token)
        for key in policy.keys[:-1]
        for route in policy.routes
        if route.method == "GET" and route.scope not in key.scopes and key not in _narrow(policy)
    )
    return cycle(list(islice(pairs, LOAD)))


CASES: Final = (
    Case("forward GET", lambda policy: _gets(_wide(policy))),
    Case("forward GET, a head never seen before", _unseen),
    Case("forward POST of 2 KiB", _posts),
    Case("401 no key", lambda _: _gets([""]), 401),
    Case("401 bad checksum", _mistyped, 401),
    Case("401 unknown key", lambda _: _gets([mint(f"nobody {n}") for n in range(100)]), 401),
    Case("403 missing scope", _forbidden, 403),
    Case("429", lambda policy: _gets([key.token for key in _narrow(policy)]), 429),
    Case("404", lambda policy: _gets(_wide(policy), ["/api/v2/nothing", "/none"]), 404),
)
