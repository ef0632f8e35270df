"""An outbox for tests that look at each write as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.outbox import Outbox


def uncorked() -> Outbox:
    """Return an outbox that sends every write at once: its turns end as soon as something was written.

    A subclass would do for the plain build only: of the compiled one nothing can be inherited.
    """
    return Outbox(cast("asyncio.AbstractEventLoop", _NoTurns()))


class _NoTurns:
    def call_soon(self, callback: Callable[[], None]) -> None:
        callback()
