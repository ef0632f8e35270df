"""Runs a whole gateway in this process, on free ports and a file of its own, and talks to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.assembly.gateway import Gateway, opened
from gateway.config.model import Config
from gateway.domain.blueprint import KeyWish
from gateway.keyring.door import Keyring, Minted
from tests.config.sample import loaded
from tests.key_samples import ORDER, a_tenant
from tests.wire import until

EDGE = (
    "listeners:\n"
    "  public: {bind: '127.0.0.1:0', drain_timeout: 5s}\n"
    "  metrics: {bind: '127.0.0.1:0'}\n"
    "  admin: {bind: 'unix:run/admin.sock'}\n"
    "store: {path: keys.db, poll: 50ms}\n"
    "telemetry: {access_log: {path: 'off'}}\n"
    "scopes: {atoms: ['jobs:read']}\n"
)
ROUTES = "routes: [{name: me, match: {path: /me}, handler: introspect}]\n"


def configured(folder: Path, text: str = ROUTES, edge: str = EDGE) -> Config:
    return loaded(folder, edge + text)


@asynccontextmanager
async def serving(folder: Path, text: str = ROUTES, edge: str = EDGE) -> AsyncIterator[Gateway]:
    async with opened(configured(folder, text, edge), folder / "config.yaml") as gateway:
        yield gateway


class Response:
    """What came back, read to the end of its connection."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        pairs = (line.partition(": ") for line in lines[1:])
        self.fields = {name.lower(): value for name, _, value in pairs}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(address: str, path: str, token: str = "", *fields: str) -> Response:
    """Send one request to `host:port` or `unix:path` and read what comes back."""
    name = "admin" if address.startswith("unix:") else "api.test"
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"GET {path} HTTP/1.1", f"Host: {name}", "Connection: close", *fields]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    async with asyncio.timeout(10):
        raw = await reader.read()
    writer.close()
    return Response(raw)


async def add_tenant(gateway: Gateway, **changes: Any) -> None:
    await gateway.keyring.tenants.create(a_tenant(**changes), ORDER)


async def mint(keyring: Keyring, plan: str = "") -> Minted:
    wish = KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=(), plan=plan)
    return await keyring.create_key(wish, ORDER)


async def written(gateway: Gateway) -> None:
    """Let the snapshot hold everything that there is; the gateway may be writing it by itself at this moment."""
    keeper = gateway.reserve.keeper
    assert keeper is not None
    await gateway.reserve.tend(gateway.store)
    await gateway.reserve.write()
    await until(lambda: keeper.stamp is not None)
    assert not keeper.fault
