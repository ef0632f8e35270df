"""A gateway of its own in a folder of its own, with a backend, a receiver of webhooks, and hands to work it.

Knows how to start and stop all of it, and nothing of what is played there. The gateway runs as a process, as it would
anywhere; what it tells arrives over a real signed webhook.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from gateway.demo.upstream import create_demo_app
from gateway.domain.webhook_signature import signature

START_SECONDS_MAX: Final = 30.0
TOLD_SECONDS_MAX: Final = 20.0
_LOOK_SECONDS: Final = 0.1


class NotTold(Exception):
    """Something was not told in time, or the gateway did not do what was asked; the text says what."""


class Receiver:
    """Takes signed webhooks and keeps what they tell; a message with a wrong signature is refused."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.told: list[Mapping[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        """Check and keep one message."""
        body, headers = await request.read(), request.headers
        expected = signature(
            [self._secret], headers["webhook-id"], int(headers["webhook-timestamp"]), body
        )
        if headers["webhook-signature"] != expected:
            return web.Response(status=401)
        self.told += json.loads(body)["alerts"]
        return web.Response(status=204)

    def fired(self, rule: str) -> list[Mapping[str, Any]]:
        """Return what was told of a rule."""
        return [each for each in self.told if each["rule"] == rule and each["event"] == "fired"]


class Playground:
    """What a scene works with. `process` is the gateway, `folder` where it lives."""

    process: asyncio.subprocess.Process
    backend: web.AppRunner
    _admin: aiohttp.ClientSession

    def __init__(self, folder: Path, ports: Mapping[str, int], receiver: Receiver) -> None:
        self.folder = folder
        self.ports = ports
        self.receiver = receiver

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the admin API; return the answer. Raises `NotTold` when it refuses."""
        url = f"http://admin/admin/v1{path}"
        async with self._admin.request(method, url, json=body) as response:
            answer = await response.json(content_type=None)
        if response.status >= 400 and "reload" not in path:
            raise NotTold(f"{method} {path}: {answer}")
        return answer

    async def add_key(self, name: str, **values: Any) -> tuple[str, str]:
        """Create a key; return its id and its secret."""
        body = {"tenant_id": "demo", "name": name, "scopes": ["jobs:read"], **values}
        made = await self.admin("POST", "/keys", {"environment": "live", **body})
        return made["key"]["key_id"], made["secret"]

    async def ask(
        self,
        secret: str,
        count: int = 1,
        *,
        path: str = "/jobs",
        source: str = "127.0.0.1",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Send requests with a key from the address `source`; return the last status."""
        url = f"http://127.0.0.1:{self.ports['public']}{path}"
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        bearer = {"Authorization": f"Bearer {secret}", **(headers or {})}
        status = 0
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(count):
                async with session.get(url, headers=bearer) as response:
                    await response.read()
                    status = response.status
        return status

    async def told(self, rule: str) -> Mapping[str, Any]:
        """Wait until a rule was told of; return the alert. Raises `NotTold`."""
        waited = 0.0
        while not (found := self.receiver.fired(rule)):
            if waited >= TOLD_SECONDS_MAX:
                raise NotTold(f"{rule} was not told within {TOLD_SECONDS_MAX:g} s")
            waited += _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
        return found[0]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the gateway."""
        with (self.folder / "gateway.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "run"),
                *("--config", str(self.folder / "config.yaml")),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        connector = aiohttp.UnixConnector(str(self.folder / "admin.sock"))
        try:
            async with aiohttp.ClientSession(connector=connector) as self._admin:
                await self._started()
                yield
        finally:
            if self.process.returncode is None:
                self.process.terminate()
            await self.process.wait()

    async def _started(self) -> None:
        waited = 0.0
        while True:
            try:
                await self.admin("GET", "/whoami")
                return
            except (aiohttp.ClientError, OSError) as error:
                if waited >= START_SECONDS_MAX or self.process.returncode is not None:
                    log = (self.folder / "gateway.log").read_text("utf-8")
                    raise NotTold(f"the gateway did not start:\n{log}") from error
            waited += _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def opened(folder: Path, config: str) -> AsyncIterator[Playground]:
    """Write `config` into `folder` and run everything; `{public}` and so on stand for free ports there."""
    secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
    names = ("public", "metrics", "backend", "receiver", "redis")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    (folder / "pepper").write_text(secrets.token_hex(32))
    (folder / "webhook").write_text(secret)
    (folder / "config.yaml").write_text(_filled(config, ports))
    await _certificate(folder)
    receiver = Receiver(secret)
    ground = Playground(folder, ports, receiver)
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_post("/", receiver.take)
        await _serve(stack, app, ports["receiver"])
        backend = await _serve(stack, create_demo_app(), ports["backend"])
        ground.backend = backend
        async with ground.running():
            yield ground


async def _serve(stack: AsyncExitStack, app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def _filled(config: str, ports: Mapping[str, int]) -> str:
    for name, port in ports.items():
        config = config.replace(f"{{{name}}}", str(port))
    return config


async def _certificate(folder: Path) -> None:
    """Make a certificate for the metrics listener that expires within days. Raises `NotTold` without OpenSSL."""
    if shutil.which("openssl") is None:
        raise NotTold("openssl is missing: it makes the certificate that expires soon")
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "3", "-subj", "/CN=metrics.demo"),
        *("-addext", "subjectAltName=DNS:metrics.demo"),
        *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await made.wait():
        raise NotTold("openssl made no certificate")
