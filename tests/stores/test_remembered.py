"""What is remembered is bounded, true, and the latest; whether a key is bound or rests, nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.domain.keys import BoundKey, KeyRecord
from gateway.stores.remembered import Remembered
from tests.key_samples import a_key, a_tenant, bound

TENANTS = {each: a_tenant(each) for each in ("ten_a", "ten_b")}
SIZE_MAX, BOUND_MAX = 16, 6
NUMBERS = st.integers(0, 29)


def _record(n: int, revision: int = 0) -> KeyRecord:
    return a_key(f"key_{n}", tenant_id="ten_a" if n % 3 else "ten_b", revision=revision)


def _digest(n: int) -> bytes:
    return sha256(f"key_{n}".encode()).digest()


def _bound(n: int, revision: int = 0) -> BoundKey:
    record = _record(n, revision)
    return bound(record, TENANTS[record.tenant_id])


def _memory(size_max: int = SIZE_MAX, bound_max: int = BOUND_MAX) -> Remembered:
    return Remembered(lambda: 0.0, size_max, 5.0, bound_max)


def _asked(memory: Remembered, n: int) -> KeyRecord | None:
    """Ask as `cached` does: a key that rests is bound and kept."""
    known = memory.recall(_digest(n))
    if known is not None:
        return known.record
    resting = memory.wake(_digest(n))
    if resting is None:
        return None
    memory.keep(_digest(n), bound(*resting))
    return resting[0]


def test_keys_beyond_the_bound_ones_rest_and_wake() -> None:
    memory = _memory(size_max=100)
    for n in range(30):
        memory.keep(_digest(n), _bound(n))
    assert [_asked(memory, n) for n in range(30)] == [_record(n) for n in range(30)]


def test_few_keys_are_bound_however_many_are_remembered() -> None:
    memory = _memory(size_max=100)
    for n in range(90):
        memory.keep(_digest(n), _bound(n))
    assert sum(memory.recall(_digest(n)) is not None for n in range(90 - BOUND_MAX * 2)) == 0
    assert memory.recall(_digest(89)) is not None


def test_seven_eighths_of_the_keys_at_rest_are_always_remembered() -> None:
    memory = _memory(size_max=86)
    for n in range(1000):
        memory.keep(_digest(n), _bound(n))
        assert all(
            memory.recall(_digest(each)) or memory.wake(_digest(each))
            for each in range(max(0, n + 1 - 70), n + 1)
        )


def test_the_latest_half_is_always_bound() -> None:
    memory = _memory()
    for n in range(1000):
        memory.keep(_digest(n), _bound(n))
        assert all(
            memory.recall(_digest(each)) is not None
            for each in range(max(0, n + 1 - BOUND_MAX // 2), n + 1)
        )


def test_a_small_memory_lets_nothing_rest() -> None:
    memory = _memory(size_max=4)
    for n in range(20):
        memory.keep(_digest(n), _bound(n))
    assert sum(memory.wake(_digest(n)) is not None for n in range(20)) == 0
    assert sum(memory.recall(_digest(n)) is not None for n in range(20)) <= 4


class Sequences(RuleBasedStateMachine):
    """Whatever happens in whatever order, a key that is told is the latest that was kept."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = _memory()
        self.true: dict[int, KeyRecord] = {}
        self.revision = 0

    @rule(n=NUMBERS)
    def read(self, n: int) -> None:
        self.true.setdefault(n, _record(n))
        record = self.true[n]
        if _asked(self.memory, n) is None:
            self.memory.keep(_digest(n), bound(record, TENANTS[record.tenant_id]))

    @rule(n=NUMBERS)
    def change(self, n: int) -> None:
        self.revision += 1
        self.true[n] = _record(n, self.revision)
        self.memory.forget((f"key_{n}",))

    @rule(tenant=st.sampled_from(["ten_a", "ten_b"]))
    def change_tenant(self, tenant: str) -> None:
        self.revision += 1
        for n, record in self.true.items():
            if record.tenant_id == tenant:
                self.true[n] = replace(record, revision=self.revision)
        self.memory.forget((tenant,))

    @rule()
    def change_all(self) -> None:
        self.true.clear()
        self.memory.forget_all()
        assert all(_asked(self.memory, n) is None for n in range(30))

    @rule(n=NUMBERS)
    def ask(self, n: int) -> None:
        told = _asked(self.memory, n)
        assert told is None or told == self.true[n]

    @invariant()
    def is_bounded(self) -> None:
        known = [n for n in range(30) if self.memory.wake(_digest(n))]
        assert len(known) <= SIZE_MAX - BOUND_MAX


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
