"""Looks after keys and rotations whose time has come, once a second.

Knows what to look for, and that a look is bounded: what it does not get to is found by the next. It remembers nothing
that a restart could lose. It must not know what is written down, which the keyring decides.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.domain.change import Order
from gateway.domain.keys import KeyRecord
from gateway.domain.rotations import OPEN, Rotation, RotationEnd, RotationState
from gateway.keyring.door import Keyring
from gateway.keyring.lapses import SYSTEM
from gateway.keyring.ledger import NotFound
from gateway.ports import Clock, Conflict, KeyStore

KEYS_PER_ACT: Final = 100
"""Keys that are written down together: one transaction, and one acknowledgement by every worker. What is made of them
between two waits keeps the event loop from others for some milliseconds."""

LOOK_SECONDS: Final = 2.0
"""How long a look goes on while more keys are due. Then rotations have their turn, and the next look follows soon."""

ROTATIONS_PER_LOOK: Final = 50
"""Reading their keys takes 6 ms. Deadlines do not wait for their turn: those keys are due by themselves."""

_IDLE: Final = Order(actor=SYSTEM, reason="its old key is not used any more")
_OVER: Final = Order(actor=SYSTEM, reason="its deadline is over")
_USED: Final = Order(actor=SYSTEM)

_log = logging.getLogger(__name__)


class Caretaker:
    """Makes the keyring in force do what is due, for so many keys at once and rotations of each state per look.

    `is_behind` tells that the last look left keys for want of time.
    """

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        store: KeyStore,
        clock: Clock,
        *,
        keys_per_act: int = KEYS_PER_ACT,
        rotations_per_look: int = ROTATIONS_PER_LOOK,
    ) -> None:
        self._keyring = keyring
        self._keys_per_act = keys_per_act
        self._rotations_per_look = rotations_per_look
        self._store = store
        self._clock = clock
        self._after = dict.fromkeys(OPEN, "")
        self.is_behind = False

    async def look_after(self) -> None:
        """Do what is due. Raises `StoreUnavailable`; then the next look does it."""
        await self._look_after_keys()
        for state in self._after:
            await self._look_after_rotations(state)

    # ---- keys

    async def _look_after_keys(self) -> None:
        """Write down what is due, until there is no more or the time is over."""
        until = self._clock.monotonic() + LOOK_SECONDS
        self.is_behind = False
        left: set[str] = set()
        while len(left) < self._keys_per_act:
            # Beyond those that cannot be written down now: they must not stand in the way of others.
            due = await self._keyring().lapses.due(self._keys_per_act + len(left))
            fresh = [key.key_id for key in due if key.key_id not in left]
            left.update(await self._record(fresh[: self._keys_per_act]))
            if len(fresh) < self._keys_per_act:
                return
            if self._clock.monotonic() >= until:
                self.is_behind = True
                return

    async def _record(self, key_ids: Sequence[str]) -> list[str]:
        """Write down what time did to these keys; return those of which it could not be."""
        lapses = self._keyring().lapses
        if len(key_ids) > 1:
            try:
                await lapses.record_all(key_ids)
            except Conflict as error:
                _log.info(
                    "one by one: %s", error
                )  # what is wrong with one of them is not the others' business
            else:
                return []
        return [each for each in key_ids if not await _done(lapses.record(each))]

    # ---- rotations

    async def _look_after_rotations(self, state: RotationState) -> None:
        """Look at the next ones: of more than there is time for, each is looked at in its turn."""
        page = await self._keyring().rotations.page(
            state=state.value, after=self._after[state], limit=self._rotations_per_look
        )
        self._after[state] = page.cursor
        ids = {each for one in page.records for each in (one.old_key_id, one.new_key_id)}
        keys = await self._store.get_keys(ids) if ids else {}
        for rotation in page.records:
            old, new = keys[rotation.old_key_id], keys[rotation.new_key_id]
            await _done(self._care_for(rotation, old, new))

    async def _care_for(self, rotation: Rotation, old: KeyRecord, new: KeyRecord) -> None:
        rotations, now = self._keyring().rotations, self._clock.now()
        if now >= rotation.deadline:
            await rotations.complete_by(rotation.rotation_id, RotationEnd.DEADLINE, _OVER)
        elif _is_idle(rotation, old, new, now):
            await rotations.complete_by(rotation.rotation_id, RotationEnd.IDLE, _IDLE)
        elif rotation.state is RotationState.PENDING and new.last_used_at is not None:
            await rotations.overlap(rotation.rotation_id, _USED)


def _is_idle(rotation: Rotation, old: KeyRecord, new: KeyRecord, now: float) -> bool:
    """Tell whether everybody has moved: an old key that was idle before the start proves nothing."""
    if rotation.idle_seconds is None or new.last_used_at is None:
        return False
    quiet_since = max(old.last_used_at or rotation.started_at, rotation.started_at)
    return now - quiet_since >= rotation.idle_seconds


async def _done(doing: Awaitable[object]) -> bool:
    """Wait for it, and tell whether it was done: what somebody else changes meanwhile is left to the next look."""
    try:
        await doing
    except (Conflict, NotFound) as error:
        _log.info("left to the next look: %s", error)
        return False
    return True
