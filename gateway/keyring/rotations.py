"""Rotations: a key is replaced by another of its lineage, and both work until the old one is not needed any more (D3).

Knows what starts and ends a rotation; every act is one transaction. It must not know who looks at the clock: the
caretaker does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.domain.change import ChangeType, Order, described
from gateway.domain.deliveries import Delivery
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.key_states import Verb
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import Sort
from gateway.domain.rotations import Rotation, RotationEnd, RotationState
from gateway.keyring.deliveries import Deliveries
from gateway.keyring.ledger import Act, Changed, Page, among, require_as_seen
from gateway.keyring.narrowing import SAME, Granted, Narrowing, narrowed
from gateway.keyring.workshop import Workshop
from gateway.ports import Conflict

IDLE_SECONDS_MIN: Final = (
    5.0  # last uses are written down once a second, by workers that tell of them as often
)
GRACE_SECONDS_MAX: Final = 366 * 86_400.0  # a year: longer is two keys, not a rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """A rotation that was started, with both keys and the secret of the new one, which nobody can ever read again.

    With a `delivery` there is no secret yet: `delivery_token` is what its link holds.
    """

    rotation: Rotation
    old: KeyRecord
    new: KeyRecord
    secret: str = field(repr=False)
    enforced: Enforced | None = None
    delivery: Delivery | None = None
    delivery_token: str = field(default="", repr=False)


@dataclass(slots=True)
class _Start:
    """What a start is made of; made anew when it loses a race."""

    new: KeyRecord
    rotation: Rotation
    secret: str = field(repr=False)
    delivery: Delivery | None = None
    token: str = field(default="", repr=False)


_TAKEN_OVER: Final = {
    RotationState.PENDING: ChangeType.KEY_ROTATION_STARTED,
    RotationState.OVERLAPPING: ChangeType.KEY_ROTATION_STARTED,
    RotationState.COMPLETED: ChangeType.KEY_ROTATION_COMPLETED,
    RotationState.ABORTED: ChangeType.KEY_ROTATION_ABORTED,
}
"""What tells of a rotation that another store had, by how it stood there."""


class Rotations:
    """Starts and ends rotations. What it promises and raises is what `Keyring` does."""

    def __init__(self, workshop: Workshop, deliveries: Deliveries, granted: Granted) -> None:
        self._ledger = workshop.ledger
        self._steps = workshop.steps
        self._mint = workshop.mint
        self._deliveries = deliveries
        self._policies = workshop.policies
        self._rules = workshop.rules
        self._granted = granted
        self._clock = workshop.clock

    async def start(
        self,
        key_id: str,
        order: Order,
        *,
        grace_seconds: float | None = None,
        idle_seconds: float | None = None,
        delivery_seconds: float | None = None,
        narrowing: Narrowing = SAME,
    ) -> Rotated:
        """Mint a key with the settings of `key_id`, which goes on for `grace_seconds`; 0 ends it at once.
        Its successor may be given less with `narrowing`.

        None takes the grace of the config. With `idle_seconds` the old key ends earlier: when the new one was used and
        the old one was not for so long. The new key expires when the old one does.
        """
        rules = self._policies.rules
        grace = rules.rotation_grace_seconds if grace_seconds is None else grace_seconds
        _require(grace, idle_seconds)
        start: _Start | None = None

        async def plan() -> Act:
            nonlocal start
            old = await self._ledger.read(KeyRecord, key_id)
            require_as_seen(old, order)
            await self._require_alone(old)
            start = self._started(
                old, self._narrowed(old, narrowing), order, grace, idle_seconds, delivery_seconds
            )
            return self._act(old, start, order, grace)

        enacted = await self._ledger.enact(plan, order)
        assert start is not None
        is_real = not order.is_dry_run
        return Rotated(
            rotation=enacted.the(Rotation, start.rotation.rotation_id),
            old=enacted.the(KeyRecord, key_id),
            new=enacted.the(KeyRecord, start.new.key_id),
            secret=start.secret if is_real else "",
            enforced=enacted.enforced,
            delivery=enacted.delivery,
            delivery_token=start.token if is_real else "",
        )

    async def complete(self, rotation_id: str, order: Order) -> Changed[Rotation]:
        """End the overlap: the old key is revoked. Completing a completed rotation changes nothing."""
        return await self.complete_by(rotation_id, RotationEnd.OPERATOR, order)

    async def complete_by(
        self, rotation_id: str, by: RotationEnd, order: Order
    ) -> Changed[Rotation]:
        """Complete a rotation, and say what for."""

        async def plan() -> Act:
            rotation = await self._read(rotation_id, order)
            act = Act()
            if rotation.state is RotationState.COMPLETED:
                act.moves.append((rotation, rotation))
                return act
            _require_open(rotation)
            old = await self._ledger.read(KeyRecord, rotation.old_key_id)
            self._steps.retire(act, old, _with_reason(order, "its rotation is complete"))
            self._steps.end(act, rotation, RotationState.COMPLETED, by, order)
            return act

        return await self._changed(rotation_id, plan, order)

    async def abort(self, rotation_id: str, order: Order) -> Changed[Rotation]:
        """Take the start back: the new key is revoked, the old one goes on as before.

        Aborting an aborted rotation changes nothing.
        """

        async def plan() -> Act:
            rotation = await self._read(rotation_id, order)
            act = Act()
            if rotation.state is RotationState.ABORTED:
                act.moves.append((rotation, rotation))
                return act
            _require_open(rotation)
            if self._clock.now() >= rotation.deadline:
                raise Conflict(f"the deadline of rotation '{rotation_id}' is over")
            old = await self._ledger.read(KeyRecord, rotation.old_key_id)
            new = await self._ledger.read(KeyRecord, rotation.new_key_id)
            self._steps.reinstate(act, old, rotation, order)
            self._steps.retire(act, new, _with_reason(order, "its rotation was aborted"))
            ended = RotationState.ABORTED
            self._steps.end(act, rotation, ended, RotationEnd.OPERATOR, order)
            return act

        return await self._changed(rotation_id, plan, order)

    async def overlap(self, rotation_id: str, order: Order) -> Changed[Rotation]:
        """Note that the new key of a rotation was used."""

        async def plan() -> Act:
            rotation = await self._read(rotation_id, order)
            is_pending = rotation.state is RotationState.PENDING
            state = RotationState.OVERLAPPING if is_pending else rotation.state
            return Act([(rotation, replace(rotation, state=state))])

        return await self._changed(rotation_id, plan, order)

    async def take_over(self, rotation: Rotation, order: Order) -> bool:
        """Store a rotation just as another store of this gateway had it, whose new key is here by now.

        The old key of one that is open is given the same end. Returns False, and changes nothing, where that key is not
        what it was before the rotation: whoever has changed it since knows better.
        """

        async def plan() -> Act:
            old = await self._ledger.read(KeyRecord, rotation.old_key_id)
            event, act = _TAKEN_OVER[rotation.state], Act()
            if rotation.is_open and old.retires_at != rotation.deadline:
                self._steps.take(
                    *(act, old, Verb.ROTATE, event, order),
                    subject_id=rotation.rotation_id,
                    retires_at=rotation.deadline,
                )
            else:
                act.changes.append(
                    self._ledger.change(old, event, order, subject_id=rotation.rotation_id)
                )
            act.moves.append((None, rotation))
            return act

        try:
            await self._ledger.enact(plan, order)
        except Conflict:
            return False
        return True

    async def get(self, rotation_id: str) -> Rotation:
        """Return the rotation."""
        return await self._ledger.read(Rotation, rotation_id)

    async def page(
        self,
        *,
        tenant_id: str = "",
        tenant_ids: tuple[str, ...] | None = None,
        state: str = "",
        lineage_id: str = "",
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> Page[Rotation]:
        """Return one page of rotations, among those of `tenant_ids` (None: all)."""
        tenant = among(tenant_id, tenant_ids)
        where = {"tenant_id": tenant, "state": state, "lineage_id": lineage_id}
        return await self._ledger.page(Rotation, where=where, after=after, limit=limit, sort=sort)

    # ---- parts

    def _narrowed(self, old: KeyRecord, narrowing: Narrowing) -> KeyRecord:
        now = self._clock.now()
        return narrowed(old, narrowing, rules=self._rules, granted=self._granted, now=now)

    def _started(
        self,
        old: KeyRecord,
        model: KeyRecord,
        order: Order,
        grace: float,
        idle_seconds: float | None,
        delivery_seconds: float | None,
    ) -> _Start:
        now = self._clock.now()
        new, secret = self._mint.successor(
            model, now, self._policies.capped(model, now), has_secret=delivery_seconds is None
        )
        rotation = Rotation(
            rotation_id=self._mint.new_id("rot"),
            lineage_id=old.lineage_id,
            tenant_id=old.tenant_id,
            old_key_id=old.key_id,
            new_key_id=new.key_id,
            started_at=now,
            deadline=now + grace,
            idle_seconds=idle_seconds,
            reason=order.reason,
        )
        start = _Start(new, rotation, secret)
        if delivery_seconds is not None:
            start.delivery, start.token = self._deliveries.opened(new, delivery_seconds)
        return start

    def _act(self, old: KeyRecord, start: _Start, order: Order, grace: float) -> Act:
        new, rotation = start.new, start.rotation
        act = Act([(None, new)])
        subject = "" if start.delivery is None else start.delivery.delivery_id
        act.changes.append(
            self._ledger.change(
                new, ChangeType.KEY_CREATED, order, after=described(new), subject_id=subject
            )
        )
        rotating = self._steps.take(
            Act(changes=act.changes),
            old,
            Verb.ROTATE,
            ChangeType.KEY_ROTATION_STARTED,
            order,
            subject_id=rotation.rotation_id,
            retires_at=rotation.deadline,
        )
        if grace > 0:
            act.moves.extend([(old, rotating), (None, rotation)])
        else:
            self._end_at_once(act, old, rotating, rotation, order)
        if start.delivery is not None:
            act.moves.append((None, start.delivery))
        return act

    def _end_at_once(
        self, act: Act, old: KeyRecord, rotating: KeyRecord, rotation: Rotation, order: Order
    ) -> None:
        """Take the two steps of the old key, and those of the rotation, as one."""
        rest = Act(changes=act.changes)
        revoked = self._steps.retire(
            rest, rotating, _with_reason(order, "it was rotated without grace")
        )
        ended = self._steps.end(
            rest, rotation, RotationState.COMPLETED, RotationEnd.DEADLINE, order
        )
        act.moves.extend([(old, revoked), (None, ended)])

    async def _require_alone(self, key: KeyRecord) -> None:
        rotation = await self._steps.open_rotation_of(key)
        if rotation is not None and key.state is not KeyState.ROTATING:
            raise Conflict(
                f"key '{key.key_id}' is part of rotation '{rotation.rotation_id}': end that first"
            )

    async def _read(self, rotation_id: str, order: Order) -> Rotation:
        rotation = await self._ledger.read(Rotation, rotation_id)
        require_as_seen(rotation, order)
        return rotation

    async def _changed(
        self, rotation_id: str, plan: Callable[[], Awaitable[Act]], order: Order
    ) -> Changed[Rotation]:
        enacted = await self._ledger.enact(plan, order)
        return Changed(enacted.the(Rotation, rotation_id), enacted.enforced)


def _require_open(rotation: Rotation) -> None:
    if not rotation.is_open:
        raise Conflict(f"rotation '{rotation.rotation_id}' is {rotation.state}")


def _require(grace: float, idle_seconds: float | None) -> None:
    problems: list[Problem] = []
    if not 0 <= grace <= GRACE_SECONDS_MAX:
        text = f"must be 0 to {GRACE_SECONDS_MAX:.0f} seconds"
        problems.append(("/grace_seconds", text))
    if idle_seconds is not None and not IDLE_SECONDS_MIN <= idle_seconds <= GRACE_SECONDS_MAX:
        text = f"must be {IDLE_SECONDS_MIN:.0f} to {GRACE_SECONDS_MAX:.0f} seconds"
        problems.append(("/idle_seconds", text))
    if problems:
        raise Refused(problems)


def _with_reason(order: Order, otherwise: str) -> Order:
    return order if order.reason else replace(order, reason=otherwise)
