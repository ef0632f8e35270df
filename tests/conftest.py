"""What all tests share: the event loop that production runs on, and how long an example may take."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping

import uvloop
from hypothesis import HealthCheck, settings

# A shared machine may stop for longer than any example takes: benchmarks measure time, tests do not.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# In the background a shell ignores SIGINT, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on uvloop: transports differ in when they write, pause and close."""
    return {"uvloop": uvloop.new_event_loop}
