"""The steps of a key's life, each as part of an act that is yet to be committed.

Knows that every step goes by the table of states, that it is told as an event, and that revoking a key of a rotation
ends the rotation. It must not know who asks, nor how an act is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.domain.change import ChangeType, Order
from gateway.domain.key_states import Verb, is_held_at, next_state
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.rotations import OPEN, Rotation, RotationEnd, RotationState
from gateway.keyring.ledger import Act, Ledger
from gateway.ports import Clock, Conflict, KeyStore, Record

_TOLD: Final = (
    *("state", "state_reason", "revoked_at", "resume_at", "retires_at", "expires_at"),
    *("is_hidden", "is_held"),
)
"""The fields of a key's life, as events tell of them."""


class Steps:
    """Adds steps to acts. Raises `Conflict` when the table of states does not allow one."""

    def __init__(self, store: KeyStore, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock

    def take(
        self,
        act: Act,
        before: KeyRecord,
        verb: Verb,
        event: ChangeType,
        order: Order,
        *,
        subject_id: str = "",
        **values: Any,
    ) -> KeyRecord:
        """Let `verb` happen to a key, with `values` for further fields; return the key after it.

        What leaves the key as it was is told by no event.
        """
        now = self._clock.now()
        state = next_state(verb, before, now)
        if state is None:
            holds = before.state_at(now)
            raise Conflict(f"cannot {verb} key '{before.key_id}': it is {holds}")
        if state is KeyState.EXPIRED:  # what it was suspended for is not over with that
            values["is_held"] = is_held_at(before, now)
        after = replace(before, state=state, **values)
        if after != before:
            is_moved = state is not before.state
            reason = order.reason if is_moved or order.reason else before.state_reason
            after = replace(after, state_reason=reason)
            self._tell(act, before, after, event, order, subject_id)
        act.moves.append((before, after))
        return after

    def retire(
        self,
        act: Act,
        key: KeyRecord,
        order: Order,
        event: ChangeType = ChangeType.KEY_REVOKED,
        **values: Any,
    ) -> KeyRecord:
        """Revoke a key, and nothing else."""
        revoked_at = key.revoked_at if key.state is KeyState.REVOKED else self._clock.now()
        ended: dict[str, Any] = {
            "revoked_at": revoked_at,
            "resume_at": None,
            "retires_at": None,
            "is_held": False,
        }
        return self.take(act, key, Verb.REVOKE, event, order, **(ended | values))

    async def revoke(
        self,
        act: Act,
        key: KeyRecord,
        order: Order,
        event: ChangeType = ChangeType.KEY_REVOKED,
        **values: Any,
    ) -> KeyRecord:
        """Revoke a key, and end the rotation that it is part of."""
        revoked = self.retire(act, key, order, event, **values)
        rotation = await self.open_rotation_of(key)
        if rotation is None:
            return revoked
        if rotation.old_key_id == key.key_id:
            self.end(act, rotation, RotationState.COMPLETED, RotationEnd.REVOKED, order)
            return revoked
        old = await self._ledger.read(KeyRecord, rotation.old_key_id)
        if self._clock.now() >= rotation.deadline:
            # Nobody has looked at the clock yet; the old key is refused already, and stays so.
            self.retire(act, old, order)
            self.end(act, rotation, RotationState.COMPLETED, RotationEnd.DEADLINE, order)
        else:
            self.end(act, rotation, RotationState.ABORTED, RotationEnd.REVOKED, order)
            self.reinstate(act, old, rotation, order)
        return revoked

    def reinstate(self, act: Act, old: KeyRecord, rotation: Rotation, order: Order) -> KeyRecord:
        """Let the old key of a rotation that is aborted live on by itself."""
        event, about = ChangeType.KEY_ROTATION_ABORTED, rotation.rotation_id
        return self.take(act, old, Verb.ABORT, event, order, subject_id=about, retires_at=None)

    def end(
        self, act: Act, rotation: Rotation, state: RotationState, by: RotationEnd, order: Order
    ) -> Rotation:
        """End a rotation. Its keys are the caller's business."""
        ended = replace(rotation, state=state, ended_at=self._clock.now(), ended_by=by.value)
        act.moves.append((rotation, ended))
        if state is RotationState.COMPLETED:
            told = self._ledger.change(
                ended,
                ChangeType.KEY_ROTATION_COMPLETED,
                order,
                before={"rotation_state": rotation.state.value},
                after={"rotation_state": state.value, "ended_by": by.value},
            )
            act.changes.append(replace(told, key_id=rotation.old_key_id))
        return ended

    async def open_rotation_of(self, key: KeyRecord) -> Rotation | None:
        """Return the rotation that a key is part of now, or None. There is never more than one."""
        for state in OPEN:
            where = {"lineage_id": key.lineage_id, "state": state.value}
            for rotation in await self._store.page(Rotation, where=where):
                if key.key_id in (rotation.old_key_id, rotation.new_key_id):
                    return rotation
        return None

    def _tell(
        self,
        act: Act,
        before: KeyRecord,
        after: KeyRecord,
        event: ChangeType,
        order: Order,
        subject_id: str,
    ) -> None:
        was, becomes = _differing(before, after)
        act.changes.append(
            self._ledger.change(
                after, event, order, before=was, after=becomes, subject_id=subject_id
            )
        )


def _differing(before: Record, after: Record) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    names = [name for name in _TOLD if getattr(before, name) != getattr(after, name)]
    return (
        {name: getattr(before, name) for name in names},
        {name: getattr(after, name) for name in names},
    )
