"""What is remembered is bounded, and what is in use is not forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.http1.memory import Memory


def look_up(memory: Memory[int, str], key: int) -> str:
    known = memory.recent.get(key) or memory.recall(key)
    if known is None:
        known = str(key)
        memory.keep(key, known)
    return known


@given(st.lists(st.integers(0, 30)), st.integers(1, 12))
def test_it_never_holds_more_than_its_size_nor_a_wrong_value(keys: list[int], size: int) -> None:
    memory: Memory[int, str] = Memory(size)
    for key in keys:
        assert look_up(memory, key) == str(key)
        assert len(memory) <= max(2, size)


def test_what_is_used_all_the_time_is_kept_through_a_flood() -> None:
    memory: Memory[int, str] = Memory(8)
    first = look_up(memory, 0)
    for other in range(1, 1000):
        look_up(memory, other)
        assert look_up(memory, 0) is first


def test_what_is_no_longer_remembered_is_released_once() -> None:
    released: list[int] = []
    memory: Memory[int, int] = Memory(4, released.append)
    for number in range(6):
        memory.keep(number, number)
    assert released == [0, 1]
    memory.clear()
    assert sorted(released) == [0, 1, 2, 3, 4, 5]
    assert len(memory) == 0
    assert memory.recall(5) is None
