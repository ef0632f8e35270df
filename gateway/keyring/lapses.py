"""What time does to keys, written down: expiry, the end of a suspension, the end of a rotation.

Knows that requests are judged by the clock, not by this: here it is told once, and what is under way is cut. It must
not know how often somebody looks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gateway.domain.change import Actor, ChangeType, Order
from gateway.domain.key_states import Verb
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.rotations import RotationEnd, RotationState
from gateway.keyring.ledger import Act, Changed
from gateway.keyring.workshop import Workshop

SYSTEM: Final = Actor(kind="system", name="caretaker")


class Lapses:
    """Writes down what time has done. Safe to repeat: what is written down is not due any more."""

    def __init__(self, workshop: Workshop) -> None:
        self._store = workshop.store
        self._ledger = workshop.ledger
        self._steps = workshop.steps
        self._clock = workshop.clock

    async def due(self, limit: int) -> list[KeyRecord]:
        """Return keys to which time did something that is not written down, at most `limit`."""
        return await self._store.keys_due(self._clock.now(), limit)

    async def record(self, key_id: str) -> Changed[KeyRecord]:
        """Write down what time has done to a key."""

        async def plan() -> Act:
            act = Act()
            await self._add(act, await self._ledger.read(KeyRecord, key_id))
            return act

        enacted = await self._ledger.enact(plan, Order(actor=SYSTEM))
        return Changed(enacted.the(KeyRecord, key_id), enacted.enforced)

    async def record_all(self, key_ids: Collection[str]) -> None:
        """Write down what time has done to several keys, in one act; what does not exist any more is passed over.

        Raises `Conflict` when one of them cannot be written down: then none is.
        """

        async def plan() -> Act:
            act = Act()
            for key in (await self._store.get_keys(key_ids)).values():
                await self._add(act, key)
            return act

        await self._ledger.enact(plan, Order(actor=SYSTEM))

    async def _add(self, act: Act, key: KeyRecord) -> None:
        now = self._clock.now()
        state = key.state_at(now)
        has_waited = key.resume_at is not None and now >= key.resume_at
        if key.state is KeyState.REVOKED:
            act.moves.append((key, key))
        elif state is KeyState.EXPIRED and key.state is not KeyState.EXPIRED:
            order = Order(actor=SYSTEM, reason="it has expired")
            self._steps.take(act, key, Verb.EXPIRE, ChangeType.KEY_EXPIRED, order)
        elif key.retires_at is not None and now >= key.retires_at:
            order = Order(actor=SYSTEM, reason="the deadline of its rotation is over")
            self._steps.retire(act, key, order)
            rotation = await self._steps.open_rotation_of(key)
            if rotation is not None:
                completed = RotationState.COMPLETED
                self._steps.end(act, rotation, completed, RotationEnd.DEADLINE, order)
        elif key.state is KeyState.SUSPENDED and has_waited:
            order = Order(actor=SYSTEM, reason="the time of its suspension is over")
            resumed = ChangeType.KEY_RESUMED
            self._steps.take(act, key, Verb.RESUME, resumed, order, resume_at=None)
        else:
            act.moves.append((key, key))
