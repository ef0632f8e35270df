"""One gateway process in front of the demo backend, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.demo.upstream import create_demo_app
from tests.e2e.process import Running, running


@pytest.fixture(scope="session")
def demo_upstream() -> Iterator[str]:
    """Run the demo backend in a thread of its own; yields its URL."""
    ready = threading.Event()
    address: list[str] = []
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(create_demo_app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        address.append(f"http://{host}:{port}")
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="session")
def gateway(demo_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run one gateway for all tests that do not stop it."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    with running(folder, demo_upstream) as process:
        process.cli("tenants", "create", "--id", "acme", "--name", "Acme")
        yield process
