"""How the subjects are started: Tollhouse in this process, nginx and HAProxy as Debian ships them.

Each is a reverse proxy in front of the same backend, configured as its own manual advises, with no policy of ours.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.domain.routes import Route
from gateway.domain.timeouts import Timeouts
from gateway.upstreams.target import Address
from tests.conformance.backend import Backend
from tests.conformance.driver import Subject
from tests.harness import Plane, plane
from tests.wire import until

PEER_PATIENCE_SECONDS = 0.7
OUR_PATIENCE_SECONDS = 5.0
OUR_SETTLE_SECONDS = (
    0.05  # all in one process: what is still open then is kept for the next request
)

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $protocol {{ default ""; "~*^websocket$" websocket; }}
  map $protocol $hop {{ default upgrade; "" ""; }}
  server {{
    listen 127.0.0.1:{port};
    server_name _;
    location / {{
      proxy_pass http://127.0.0.1:{backend};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $protocol;
      proxy_set_header Connection $hop;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_read_timeout 3s;
    }}
  }}
}}
"""

HAPROXY = """
global
  log stderr format raw local0 emerg
defaults
  mode http
  option forwardfor
  timeout connect 3s
  timeout client 10s
  timeout server 3s
  timeout http-request 10s
frontend public
  bind 127.0.0.1:{port}
  default_backend recorded
backend recorded
  server one 127.0.0.1:{backend}
"""


class Missing(Exception):
    """A peer is not installed or does not start; the text says what to do."""


@asynccontextmanager
async def tollhouse() -> AsyncIterator[Subject]:
    """Run a whole data plane of ours in this process; it fails when the gateway logs an error."""
    async with tollhouse_plane(OUR_PATIENCE_SECONDS, OUR_SETTLE_SECONDS) as (subject, _):
        yield subject


@asynccontextmanager
async def tollhouse_plane(
    patience_seconds: float, settle_seconds: float
) -> AsyncIterator[tuple[Subject, Plane]]:
    """Run the same, and let its inside be seen."""
    backend = Backend()
    await backend.start()
    table = [
        Route(name="v1", pattern="/v1", kind="prefix", scopes=("things:read",), upstream="up"),
        Route(name="root", pattern="/", scopes=("things:read",), upstream="up"),
    ]
    timeouts = Timeouts(response_seconds=3.0, idle_seconds=3.0)
    try:
        async with plane(
            table=table,
            timeouts=timeouts,
            failures=1 << 30,  # the throttle of failed authentications is not what is judged
            addresses=[Address(host="127.0.0.1", port=backend.port)],
        ) as held:
            assert isinstance(held.address, tuple)
            subject = Subject(
                "Tollhouse", held.address[1], backend, patience_seconds, settle_seconds
            )
            yield subject, held
            await until(lambda: not held.listener.connections)
    finally:
        await backend.stop()


@asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[Subject]:
    """Run nginx."""
    async with _peer("nginx", NGINX, folder, ["-p", "{folder}", "-c", "{config}"]) as subject:
        yield subject


@asynccontextmanager
async def haproxy(folder: Path) -> AsyncIterator[Subject]:
    """Run HAProxy."""
    async with _peer("haproxy", HAPROXY, folder, ["-db", "-f", "{config}"]) as subject:
        yield subject


def program(name: str) -> str:
    """Return the path of a program; raises `Missing`."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"{name} is not installed; on Debian and Ubuntu: apt-get install {name}")
    return path


def version(name: str) -> str:
    """Return the version of a peer, as it tells it."""
    done = subprocess.run([program(name), "-v"], capture_output=True, text=True, check=True)
    first = (done.stdout + done.stderr).splitlines()[0]
    return first.partition(": ")[2] or " ".join(first.split()[:3])


@asynccontextmanager
async def _peer(
    name: str, template: str, folder: Path, arguments: list[str]
) -> AsyncIterator[Subject]:
    binary = program(name)
    backend = Backend()
    await backend.start()
    port = await _free_port()
    config = folder / f"{name}.conf"
    user = "user root;" if os.getuid() == 0 else ""  # so that it may write to its folder
    text = template.format(folder=folder, port=port, backend=backend.port, user=user)
    config.write_text(text)
    words = [word.format(folder=folder, config=config) for word in arguments]
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(binary, *words, stdout=log, stderr=log)
    try:
        try:
            await _accepting(port, process)
        except Missing as error:
            raise Missing(f"{error}: {(folder / f'{name}.log').read_text()[-500:]}") from None
        yield Subject(name, port, backend, PEER_PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await backend.stop()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def _accepting(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(10):
        while True:
            if process.returncode is not None:
                raise Missing(f"it ended at once, with status {process.returncode}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
