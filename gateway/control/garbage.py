"""When the interpreter looks for garbage: hardly ever, because a request makes none that refers back to itself.

And when the allocator of C gives back to the system what it keeps.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_THRESHOLDS: Final = (20_000, 20, 20)

SPARE_SECONDS: Final = 60.0
"""How often memory is given back. What makes most of it free, a look of the alerts, comes as often."""


@contextmanager
def not_looking() -> Iterator[None]:
    """Look for no garbage while much is made that stays: to look costs a tenth of what makes it, and finds nothing."""
    was_looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_looking:
            gc.enable()


def keep_imported() -> None:
    """Look for no garbage among what was imported so far: next to none (half a megabyte of a whole gateway)."""
    gc.freeze()


def settle_memory() -> None:
    """Keep what was built at start out of every later garbage collection: most of it lives as long as the process.

    A request makes no cycles, so collecting rarely costs nothing; a full collection over the configuration would hold
    up all requests for tens of milliseconds. A reload frees what it replaces at once, frozen or not, because nothing
    in a configuration refers back to itself: so nothing is collected or frozen then.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


async def give_back_memory() -> None:
    """Give the system back what the allocator of C keeps for threads that may need it again, where it can (glibc).

    One question about the usage of very many keys takes SQLite tens of megabytes for a moment, and they would stay.
    Takes some milliseconds of a thread, and of the event loop nothing.
    """
    await asyncio.to_thread(_trim)


def _trim() -> None:
    import ctypes  # a start need not wait for it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # one that lets others run meanwhile
    if trim is not None:
        trim(0)
