"""When the interpreter looks for garbage: hardly ever, because a request makes none that refers back to itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_THRESHOLDS: Final = (20_000, 20, 20)


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
