"""A backend dies under load: nobody who asked for something harmless notices, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.process import Running, running
from tests.wire import Client

BACKEND = """
import asyncio, os, sys

async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return writer.close()
        os.write(log, head.split(b" ", 2)[0] + b" " + head.split(b" ", 2)[1] + b"\\n")
        if b"Content-Length: 2" in head:
            await reader.readexactly(2)
        await asyncio.sleep(0.005)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n" + b"ok" * (head[:4] != b"HEAD"))

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[2]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
asyncio.run(main())
"""
"""Writes down each request before it answers, so that a kill loses no count."""

CONFIG = """
version: 1
listeners: {public: {bind: "127.0.0.1:0"}, admin: {bind: "unix:admin.sock"}, metrics: {bind: "127.0.0.1:0"}}
store: {path: data/tollhouse.db}
peppers: {current: p1, p1: "${file:data/pepper}"}
telemetry: {access_log: {path: "off"}}
upstreams:
  three: {targets: [TARGETS], health: {passive: {failures: 3, ejection: 1s}}}
routes:
  - {name: all, auth: none, match: {prefix: /x}, upstream: three}
"""


@dataclass
class Backend:
    """A process that counts what it gets."""

    log: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", BACKEND, str(self.log), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@dataclass
class Load:
    """Clients that ask until they are told to stop; every request has a path of its own."""

    address: str
    answers: dict[str, int] = field(default_factory=dict)
    is_over: bool = False
    count: int = 0

    async def ask(self, method: str) -> None:
        host, port = self.address.rsplit(":", 1)
        client: Client | None = None
        while not self.is_over:
            self.count += 1
            path = f"/x/{method}/{self.count}"
            if client is None:
                client = Client(*await asyncio.open_connection(host, int(port)))
            body = "Content-Length: 2\r\n\r\nhi" if method == "POST" else "\r\n"
            client.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{body}".encode())
            answer = await client.answer(method)
            self.answers[f"{method} {path}"] = answer.status
            if answer.fields.get("connection") == "close":
                client.close()
                client = None
        if client is not None:
            client.close()

    async def more(self, answers: int) -> None:
        """Return after so many further answers."""
        goal = len(self.answers) + answers
        async with asyncio.timeout(60):
            while len(self.answers) < goal:  # noqa: ASYNC110 - what is waited for is a number
                await asyncio.sleep(0.005)


@contextmanager
def site(folder: Path) -> Iterator[tuple[Running, list[Backend]]]:
    with ExitStack() as stack:
        backends = [Backend(folder / f"backend{n}.log") for n in range(3)]
        for backend in backends:
            stack.callback(backend.kill)
            backend.start()
        targets = ", ".join(f'"http://127.0.0.1:{backend.port}"' for backend in backends)
        text = CONFIG.replace("TARGETS", targets)
        yield stack.enter_context(running(folder, "http://127.0.0.1:1", text)), backends


def states(gateway: Running, port: int) -> str:
    (upstream,) = json.loads(gateway.cli("upstreams", "list", "--output", "json"))
    (found,) = (each for each in upstream["targets"] if each["target"].endswith(f":{port}"))
    return str(found["state"])


def metric(gateway: Running, line: str) -> float:
    with urllib.request.urlopen(f"http://{gateway.metrics}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return sum(float(each.rsplit(" ", 1)[1]) for each in text.splitlines() if each.startswith(line))


@pytest.mark.slow
def test_killed_backend_fails_no_idempotent_request_and_no_post_is_done_twice(
    tmp_path: Path,
) -> None:
    with site(tmp_path) as (gateway, backends):

        async def story() -> Load:
            load = Load(gateway.public)
            async with asyncio.TaskGroup() as clients:
                for method in ("GET", "HEAD", "DELETE", "PUT", "POST", "POST") * 4:
                    clients.create_task(load.ask(method))
                await load.more(300)
                await asyncio.to_thread(backends[0].kill)
                await load.more(500)
                while await asyncio.to_thread(states, gateway, backends[0].port) != "ejected":
                    await load.more(50)
                await asyncio.to_thread(backends[0].start)
                while await asyncio.to_thread(states, gateway, backends[0].port) != "up":
                    await load.more(50)
                before = len(backends[0].lines)
                await load.more(300)
                assert len(backends[0].lines) > before
                load.is_over = True
            return load

        load = asyncio.run(story())
        reached = Counter(line for backend in backends for line in backend.lines)
        statuses = Counter((line.split()[0], status) for line, status in load.answers.items())
        print(statuses, metric(gateway, 'tollhouse_upstream_requests_total{outcome="retried"'))
        for line, status in load.answers.items():
            if line.startswith("POST"):
                assert status in (200, 502)
                assert reached[line] <= 1
                assert status == 502 or reached[line] == 1
            else:
                assert status == 200
        assert metric(gateway, "tollhouse_upstream_ejections_total") >= 1
        assert metric(gateway, "tollhouse_upstream_target_up") == 3


def test_backend_that_is_not_there_costs_no_request_of_any_method(tmp_path: Path) -> None:
    with site(tmp_path) as (gateway, backends):
        backends[1].kill()

        async def story() -> Load:
            load = Load(gateway.public)
            async with asyncio.TaskGroup() as clients:
                for method in ("GET", "POST"):
                    clients.create_task(load.ask(method))
                await load.more(60)
                load.is_over = True
            return load

        assert set(asyncio.run(story()).answers.values()) == {200}
