"""Moving keys to the current pepper, behind the requests that showed their tokens.

Knows which keys wait for it, and does one at a time so that a pepper change never floods the store.
It must not know how a key is stored: it is given the act. What it drops or fails at is tried again
when the key is next loaded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.domain.keys import KeyRecord
from gateway.ports import Conflict, StoreUnavailable

WAITING_MAX: Final = 10_000

_log = logging.getLogger(__name__)


class Rekeying:
    """A bounded queue in front of `rekey`, worked off by one task while it is not empty."""

    def __init__(self, rekey: Callable[[KeyRecord, bytes, str], Awaitable[None]]) -> None:
        self._rekey = rekey
        self._waiting: dict[str, tuple[KeyRecord, bytes, str]] = {}
        self._task: asyncio.Task[None] | None = None

    def offer(self, record: KeyRecord, digest: bytes, pepper_id: str) -> None:
        """Ask for `record` to be stored with `digest`, made with the current pepper. Returns at once."""
        if len(self._waiting) >= WAITING_MAX:
            return
        self._waiting[record.key_id] = (record, digest, pepper_id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="re-key")

    async def settle(self) -> None:
        """Wait until nothing is left to do."""
        while self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))

    async def close(self) -> None:
        """Stop; what still waits is done when those keys are next used."""
        self._waiting.clear()
        await self.settle()

    async def _work(self) -> None:
        while self._waiting:
            _, (record, digest, pepper_id) = self._waiting.popitem()
            try:
                await self._rekey(record, digest, pepper_id)
            except Conflict:
                _log.debug("key %s changed while it was re-keyed: left as it is", record.key_id)
            except StoreUnavailable as error:
                _log.warning("re-keying stopped: %s", error)
                self._waiting.clear()
