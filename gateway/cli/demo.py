"""What `tollhouse run --demo` adds: a backend, demo keys, and a curl for each answer.

Imported for that option alone: it brings aiohttp before the gateway needs any.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from gateway.assembly.gateway import Gateway
from gateway.demo.provision import provision, render_curls, render_dashboard
from gateway.demo.upstream import create_demo_app

DEMO_ADDRESS: Final = ("127.0.0.1", 8081)
"""Where the upstream `demo` of the shipped configuration listens."""


@asynccontextmanager
async def demo_backend() -> AsyncIterator[None]:
    """Serve the backend while the context lasts."""
    runner = web.AppRunner(create_demo_app(), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, *DEMO_ADDRESS).start()
        yield
    finally:
        await runner.cleanup()


async def show_demo(gateway: Gateway, dashboard: str) -> None:
    """Mint the keys and print what to try with them; `dashboard` is its address, empty for none."""
    demo = await provision(gateway.keyring)
    print(render_curls(f"http://{gateway.public_address}", demo))
    print(render_dashboard(dashboard), flush=True)
