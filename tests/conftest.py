"""What all tests share: the event loop that production runs on, and how long an example may take."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping

import uvloop
from hypothesis import HealthCheck, settings

# A shared machine may stop for longer than any example takes: benchmarks measure time, tests do not.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What CI tries is the same each time, so that what passed once passes again; the others go on looking for what is new.
settings.register_profile(
    "repeatable", settings.get_profile("shared"), derandomize=True, database=None
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "shared"))

# In the background a shell ignores SIGINT, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on uvloop: transports differ in when they write, pause and close."""
    return {"uvloop": uvloop.new_event_loop}
