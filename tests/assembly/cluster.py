"""Several gateways in this process that share one database; the way of each to it can be cut."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.assembly.gateway import Gateway, opened
from gateway.config.load import read
from gateway.domain.blueprint import KeyWish
from gateway.keyring.door import Minted
from tests.assembly.lasting import Backend, Streams, lasting_backend
from tests.assembly.serving import Response, ask
from tests.config.sample import PEPPER, write
from tests.key_samples import ORDER


class Line:
    """The network between one gateway and the database: everything passes, or nothing does and nobody is told."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""
        self.is_down = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self.is_down:
            writer.transport.abort()
            return
        self._tasks.add(task)
        await self._open.wait()
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        self._writers |= {writer, there_writer}
        try:
            async with asyncio.TaskGroup() as passing:
                passing.create_task(self._pass(reader, there_writer))
                passing.create_task(self._pass(there_reader, writer))
        except* (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            there_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def cut(self) -> None:
        self._open.clear()

    def end(self) -> None:
        """End all connections, and take no other: the database is down, as far as this gateway can tell."""
        self.is_down = True
        self.reset()

    def mend(self) -> None:
        self.is_down = False
        self._open.set()

    def reset(self) -> None:
        """End all connections; further ones pass."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        self.mend()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class Member:
    """One gateway, its line to the database, and the requests that last there."""

    gateway: Gateway
    line: Line
    streams: Streams
    stack: AsyncExitStack = field(repr=False)

    async def status(self, secret: str, path: str = "/me") -> int:
        return (await ask(self.gateway.public_address, path, secret)).status

    async def ask(self, secret: str, path: str = "/me") -> Response:
        return await ask(self.gateway.public_address, path, secret)

    async def mint(self, tenant_id: str = "ten_a", **values: Any) -> Minted:
        wish = KeyWish(
            tenant_id=tenant_id, name="k", environment="live", scopes=("a:read",), **values
        )
        return await self.gateway.keyring.create_key(wish, ORDER)

    async def stop(self) -> None:
        """End the gateway in good order."""
        await self.stack.aclose()


def configuration(url: str, upstream: str, name: str, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "version": 1,
        "peppers": {"current": "p1", "p1": PEPPER},
        "listeners": {
            "public": {"bind": "127.0.0.1:0", "drain_timeout": "1s"},
            "metrics": {"bind": "127.0.0.1:0"},
            "admin": {"bind": "unix:run/admin.sock"},
        },
        "store": {"url": url, "poll": "1h", "connections_max": 2},  # what is told is told at once
        "cluster": {"node": name, "lease": "60s", "acknowledge_timeout": "10s"},
        "telemetry": {"access_log": {"path": "off"}},
        "request_log": {"path": "off"},
        "scopes": {"atoms": ["a:read"]},
        "upstreams": {"u": {"targets": [upstream], "connections_max": 1000}},
        "routes": [
            {"name": "me", "match": {"path": "/me"}, "handler": "introspect"},
            {"name": "a", "match": {"path": "/a/{rest...}"}, "upstream": "u", "scopes": ["a:read"]},
        ],
    }
    for section, values in changes.items():
        given[section] = {**given.get(section, {}), **values}
    return given


class Cluster:
    """All of them. Each has a folder of its own, with a copy of the key that the first one signs with."""

    def __init__(self, folder: Path, url: str, backend: tuple[str, Backend]) -> None:
        self.folder = folder
        self.url = url
        self._upstream, self._backend = backend
        self._stack = AsyncExitStack()

    async def start(self, name: str, **changes: Any) -> Member:
        """Open a gateway; it ends with the cluster, or when it is stopped."""
        stack = AsyncExitStack()
        there = urlsplit(self.url)
        line = Line(there.hostname or "", there.port or 0)
        server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        stack.push_async_callback(line.close)
        stack.callback(server.close)
        url = self.url.replace(f":{there.port}/", f":{port}/")
        home = self.folder / name
        path = write(home, json.dumps(configuration(url, self._upstream, name, **changes)))
        self._share_key(home)
        loaded = read(path, {})
        assert loaded.config is not None, loaded.problems
        try:
            gateway = await stack.enter_async_context(opened(loaded.config, path))
        except BaseException:
            await stack.aclose()
            raise
        self._share_key(home)
        streams = Streams(gateway.public_address, self._backend)
        stack.callback(streams.close)
        self._stack.push_async_callback(stack.aclose)
        return Member(gateway, line, streams, stack)

    def _share_key(self, home: Path) -> None:
        own, shared = home / "data" / "audit.key", self.folder / "audit.key"
        if shared.exists() and not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shared, own)
        elif own.exists() and not shared.exists():
            shutil.copy(own, shared)

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def cluster(folder: Path, url: str) -> AsyncIterator[Cluster]:
    async with lasting_backend() as backend:
        found = Cluster(folder, url, backend)
        try:
            yield found
        finally:
            await found.close()
