"""Any sequence of what may happen to keys and rotations, against a model that knows neither table nor store.

Contract, section 7; D3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.domain.change import ChangeType
from gateway.domain.key_rules import Refused
from gateway.domain.rotations import OPEN
from gateway.keyring.caretaker import Caretaker
from gateway.ports import Conflict
from tests.key_samples import ORDER, a_tenant, an_order
from tests.keyring.house import House

T = TypeVar("T")

KEYS_MAX = 2
NUMBERS = st.integers(0, 2)
SPANS = st.sampled_from([5.0, 20.0])


@dataclass(slots=True)
class Key:
    """What a person would say of a key."""

    key_id: str
    expires_at: float | None
    is_suspended: bool = False
    resume_at: float | None = None
    retires_at: float | None = None
    is_revoked: bool = False

    def state(self, now: float) -> str:
        if self.is_revoked:
            return "revoked"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        if self.retires_at is not None and now >= self.retires_at:
            return "revoked"
        if self.is_suspended and not (self.resume_at is not None and now >= self.resume_at):
            return "suspended"
        return "active" if self.retires_at is None else "rotating"


@dataclass(slots=True)
class Turn:
    """What a person would say of a rotation."""

    rotation_id: str
    old: Key
    new: Key
    deadline: float
    ended: str = ""


class LifeOfKeys(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.house = House()
        self.keyring = self.house.keyring
        self.looks = Caretaker(lambda: self.keyring, self.house.store, self.house.clock)
        self.keys: list[Key] = []
        self.turns: list[Turn] = []
        self.extensions = 0
        self.run(self.house.store.save_tenant(a_tenant()))

    def teardown(self) -> None:
        self.loop.close()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(doing)

    def tried(self, doing: Coroutine[Any, Any, T], is_allowed: bool) -> T | None:
        """Do it, and demand that it works exactly when the model allows it."""
        done: T | None = None
        was_allowed = True
        try:
            done = self.run(doing)
        except (Conflict, Refused):
            was_allowed = False
        assert was_allowed is is_allowed
        return done

    @property
    def now(self) -> float:
        return self.house.clock.now()

    @property
    def living(self) -> list[Key]:
        return [key for key in self.keys if not key.is_revoked]

    def pick(self, number: int) -> Key:
        """Return a key that is in the middle of something, or the last one that was: most verbs refuse it."""
        dead = [key for key in self.keys if key.is_revoked]
        pool = [*self.living, *dead[-1:]]
        return pool[number % len(pool)]

    def turn_of(self, key: Key) -> Turn | None:
        found = [t for t in self.turns if not t.ended and key in (t.old, t.new)]
        assert len(found) <= 1
        return found[0] if found else None

    def end_key(self, key: Key) -> None:
        turn = self.turn_of(key)
        if turn is not None and turn.old is key:
            turn.ended = "completed"
        elif turn is not None and self.now >= turn.deadline:
            turn.ended, turn.old.is_revoked = "completed", True
        elif turn is not None:
            turn.ended, turn.old.retires_at = "aborted", None
        key.is_revoked = True

    # ---- what may happen

    @precondition(lambda self: len(self.living) < KEYS_MAX)
    @rule(lives=SPANS | SPANS | st.none())
    def create(self, lives: float | None) -> None:
        expires_at = None if lives is None else self.now + lives
        minted = self.run(self.house.minted(expires_at=expires_at, name=f"Key {len(self.keys)}"))
        self.keys.append(Key(minted.record.key_id, expires_at))

    @rule(seconds=SPANS)
    def time_passes(self, seconds: float) -> None:
        self.house.clock.advance(seconds)

    @rule()
    def somebody_looks(self) -> None:
        self.run(self.looks.look_after())
        for turn in self.turns:
            if not turn.ended and self.now >= turn.deadline:
                turn.ended, turn.old.is_revoked = "completed", True

    @precondition(lambda self: self.comes_next is not None)
    @rule()
    def the_next_thing_comes_to_its_end_and_somebody_looks(self) -> None:
        assert self.comes_next is not None
        self.house.clock.advance(self.comes_next - self.now)
        self.somebody_looks()

    @property
    def comes_next(self) -> float | None:
        """When time does something to a key the next time."""
        ends = [
            moment
            for key in self.living
            for moment in (key.expires_at, key.resume_at, key.retires_at)
            if moment is not None and moment > self.now
        ]
        return min(ends, default=None)

    @precondition(lambda self: self.keys)
    @rule(number=NUMBERS, lasts=st.none() | SPANS)
    def suspend(self, number: int, lasts: float | None) -> None:
        key = self.pick(number)
        resume_at = None if lasts is None else self.now + lasts
        is_allowed = key.state(self.now) in ("active", "rotating", "suspended")
        doing = self.keyring.suspend_key(key.key_id, an_order("odd"), resume_at)
        if self.tried(doing, is_allowed):
            key.is_suspended, key.resume_at = True, resume_at

    @precondition(lambda self: self.keys)
    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        key = self.pick(number)
        is_allowed = key.state(self.now) in ("active", "rotating", "suspended")
        if self.tried(self.keyring.resume_key(key.key_id, ORDER), is_allowed):
            key.is_suspended, key.resume_at = False, None

    @precondition(lambda self: len(self.living) >= KEYS_MAX)
    @rule(number=NUMBERS, verb=st.sampled_from(["revoke_key", "delete_key", "compromise"]))
    def end(self, number: int, verb: str) -> None:
        key, order = self.pick(number), an_order("leaked")
        if verb != "compromise":
            self.tried(getattr(self.keyring, verb)(key.key_id, order), True)
        else:
            doing = self.keyring.incidents.compromise(key.key_id, order, since=0.0)
            done = self.tried(doing, True)
            assert done is not None
            assert done.minted is not None
            self.keys.append(Key(done.minted.record.key_id, key.expires_at))
        if not key.is_revoked:
            self.end_key(key)

    @precondition(lambda self: self.keys)
    @rule(number=NUMBERS, seconds=SPANS)
    def extend(self, number: int, seconds: float) -> None:
        key = self.pick(number)
        until = self.now + seconds
        has_retired = key.retires_at is not None and self.now >= key.retires_at
        is_allowed = (
            key.state(self.now) != "revoked"
            and not has_retired
            and key.expires_at is not None
            and until >= key.expires_at
        )
        if self.tried(self.keyring.extend_key(key.key_id, until, ORDER), is_allowed):
            key.expires_at = until
            self.extensions += 1

    @precondition(lambda self: self.keys)
    @rule(number=NUMBERS, grace=st.sampled_from([0.0, 20.0, 20.0]))
    def rotate(self, number: int, grace: float) -> None:
        key = self.pick(number)
        is_allowed = key.state(self.now) == "active" and self.turn_of(key) is None
        doing = self.keyring.rotations.start(key.key_id, ORDER, grace_seconds=grace)
        done = self.tried(doing, is_allowed)
        if done is not None:
            new = Key(done.new.key_id, key.expires_at)
            self.keys.append(new)
            turn = Turn(done.rotation.rotation_id, key, new, self.now + grace)
            self.turns.append(turn)
            if grace:
                key.retires_at = turn.deadline
            else:
                turn.ended, key.is_revoked = "completed", True

    @precondition(lambda self: self.turns)
    @rule(number=NUMBERS, is_aborted=st.booleans())
    def end_rotation(self, number: int, is_aborted: bool) -> None:
        ended = [turn for turn in self.turns if turn.ended]
        pool = [*(turn for turn in self.turns if not turn.ended), *ended[-1:]]
        turn, rotations = pool[number % len(pool)], self.keyring.rotations
        if is_aborted:
            is_open = not turn.ended and self.now < turn.deadline
            doing = rotations.abort(turn.rotation_id, ORDER)
            if self.tried(doing, is_open or turn.ended == "aborted") and not turn.ended:
                turn.ended, turn.old.retires_at, turn.new.is_revoked = "aborted", None, True
        else:
            doing = rotations.complete(turn.rotation_id, ORDER)
            if self.tried(doing, turn.ended != "aborted") and not turn.ended:
                turn.ended, turn.old.is_revoked = "completed", True

    # ---- what always holds

    @invariant()
    def every_key_is_in_the_state_that_a_person_would_say(self) -> None:
        for key in self.keys:
            record = self.run(self.house.key(key.key_id))
            assert record.state_at(self.now) == key.state(self.now), record

    @invariant()
    def every_rotation_is_where_a_person_would_say(self) -> None:
        for turn in self.turns:
            rotation = self.run(self.keyring.rotations.get(turn.rotation_id))
            assert (rotation.state in OPEN) is not bool(turn.ended)
            assert turn.ended in ("", rotation.state)
            old = self.run(self.house.key(turn.old.key_id))
            new = self.run(self.house.key(turn.new.key_id))
            assert old.lineage_id == new.lineage_id == rotation.lineage_id

    @invariant()
    def nothing_is_told_twice(self) -> None:
        records = self.run(self.house.store.audit.audit_records(limit=100_000))
        told = [(record.type, record.key_id) for record in records]
        ends = (ChangeType.KEY_REVOKED.value, ChangeType.KEY_DELETED.value)
        revoked = [key_id for event, key_id in told if event == ends[0]]
        assert len(revoked) == len(set(revoked))
        expired = [key_id for event, key_id in told if event == ChangeType.KEY_EXPIRED.value]
        assert len(expired) <= len(set(expired)) + self.extensions


TestLifeOfKeys = LifeOfKeys.TestCase
TestLifeOfKeys.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
