"""Streams of keys whose time is over end with it: at the expiry of the key, at the deadline of its rotation.

A key that has run out is refused from that moment on, because whoever serves knows when that is; only what it has open
must be looked for. Knows when to look. It must not know what is written down about it: the caretaker does that, at its
own pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.assembly import policy
from gateway.domain.withdrawal import Withdrawals, withdrawn_of_key

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

LOOK_SECONDS: Final = 0.25
"""How often: a stream outlives its key by that and by the time of the look."""

KEYS_MAX: Final = 400
"""Keys of one look: some 7 ms of the event loop. When more run out at the same moment, the caretaker ends what the
others have open while it writes them down, some thousand per second."""


class RunOut:
    """Ends what keys of `gateway` have open that ran out."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._ended: frozenset[tuple[str, int]] = frozenset()
        """Keys, in the revision, of the last look: they are due until the caretaker has written that down."""

    async def look(self) -> None:
        """End it. Raises `StoreUnavailable`; then the next look does."""
        gateway = self._gateway
        now = gateway.clock.now()
        due = await gateway.store.keys_due(now, limit=KEYS_MAX)
        over = {(key.key_id, key.revision): key for key in due if key.refusal_at(now) is not None}
        fresh = [key for seen, key in over.items() if seen not in self._ended]
        if fresh:
            granted = policy.scopes(gateway.config).granted
            parts = (withdrawn_of_key(key, granted(key.scopes), now) for key in fresh)
            await gateway.crew.streams.cut(Withdrawals(tuple(parts)))
        self._ended = frozenset(over)
