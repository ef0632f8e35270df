"""What was made for an `Idempotency-Key`: a request that is sent twice makes one thing.

Knows how a key is reserved before anything is made, and what is said to whoever comes with the same one. The result's
id is kept for a day, the result never. It must not know what is made, nor how a request is carried.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gateway.domain.key_rules import Refused
from gateway.keyring.ledger import NotFound
from gateway.ports import Clock, Conflict, KeyStore, StoreUnavailable

MAKING_SECONDS_MAX: Final = 60.0
"""Longer than any creation takes: a reservation that is older belongs to a process that died, or lost its store."""

_RESERVED: Final = "reserved"

_log = logging.getLogger(__name__)


class Mismatch(Exception):
    """The key was used with another request."""


class InProgress(Conflict):
    """Another request with the same key is being worked on, or its outcome is unknown."""

    def __init__(self, text: str, *, is_retry_sensible: bool) -> None:
        self.is_retry_sensible = is_retry_sensible
        super().__init__(text)


@dataclass(slots=True)
class Making:
    """What is being made; whoever makes it says its id in `result_id`. `repeated_id` is that of what exists already."""

    repeated_id: str = ""
    result_id: str = ""


class Repeats:
    """Keeps what was made for which key."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @asynccontextmanager
    async def once(self, key: str, fingerprint: str) -> AsyncIterator[Making]:
        """Reserve `key` for a request with this fingerprint, or yield what was made for it before.

        A creation that is refused gives the key back. One that ends in doubt does not: then nobody knows whether it
        happened. Raises `Mismatch` and `InProgress`.
        """
        mark = f"{_RESERVED} {self._clock.now():.3f} {secrets.token_hex(8)}"
        kept_fingerprint, kept = await self._store.remember(
            key, fingerprint, mark, self._clock.now()
        )
        if kept_fingerprint != fingerprint:
            raise Mismatch("the Idempotency-Key was used with another request")
        if kept != mark:
            yield Making(repeated_id=self._finished(kept))
            return
        making = Making()
        try:
            yield making
        except (Refused, NotFound, Conflict):
            await self._store.settle(key, "")
            raise
        try:
            await self._store.settle(key, making.result_id)
        except (
            StoreUnavailable
        ) as error:  # what was made is handed out: its secret exists only here
            _log.error("what was made for an Idempotency-Key is not kept: %s", error)

    def _finished(self, kept: str) -> str:
        word, _, rest = kept.partition(" ")
        if word != _RESERVED:
            return kept
        if self._clock.now() - float(rest.partition(" ")[0]) < MAKING_SECONDS_MAX:
            raise InProgress("the same request is being worked on", is_retry_sensible=True)
        raise InProgress(
            "nobody knows whether the first request with this Idempotency-Key succeeded:"
            " look for what it made, then use another key",
            is_retry_sensible=False,
        )
