"""What all tests share: the event loop that production runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on uvloop: transports differ in when they write, pause and close."""
    return {"uvloop": uvloop.new_event_loop}
