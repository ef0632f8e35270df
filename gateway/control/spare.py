"""When the allocator of C gives memory back to the system: once in a while, because it does not by itself.

Knows that what a thread needed for a moment stays with that thread. It must not know who needed it.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import Final

SPARE_SECONDS: Final = 15.0
"""How often memory is given back. What makes most of it free, a look of the alerts, comes once a minute."""


async def give_back_memory() -> None:
    """Give the system back what the allocator keeps for threads that may need it again, where it can (glibc).

    One question about the usage of very many keys takes SQLite tens of megabytes for a moment, and they would stay.
    Takes a quarter of a millisecond of a thread where nothing is free, and 8 ms where 70 MB are; whoever needs memory
    of the same part meanwhile waits for it.
    """
    await asyncio.to_thread(_trim)


def _trim() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # one that lets others run meanwhile
    if trim is not None:
        trim(0)
