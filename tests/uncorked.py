"""An outbox for tests that look at each write as it happens."""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.outbox import CorkedTransport, Outbox


class Uncorked(Outbox):
    """Sends every write at once."""

    def __init__(self) -> None:
        super().__init__(cast("asyncio.AbstractEventLoop", _NoLoop()))

    def put(self, corked: CorkedTransport) -> None:
        corked.flush()


class _NoLoop:
    def call_soon(self) -> None:
        raise AssertionError("nothing waits here")
