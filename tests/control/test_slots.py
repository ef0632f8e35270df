from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.slots import sockets_of


def test_each_worker_accepts_from_its_own_socket_while_all_serve() -> None:
    assert [sockets_of(slot, {0, 1, 2}, 3) for slot in range(3)] == [{0}, {1}, {2}]


def test_socket_of_a_dead_worker_belongs_to_all_others() -> None:
    assert [sockets_of(slot, {0, 2}, 3) for slot in (0, 2)] == [{0, 1}, {1, 2}]


def test_single_socket_is_everybodys() -> None:
    assert [sockets_of(slot, {0, 1}, 1) for slot in range(2)] == [{0}, {0}]


@given(st.integers(2, 16), st.data())
def test_no_socket_is_left_alone_while_anybody_serves(count: int, data: st.DataObject) -> None:
    serving = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    covered = frozenset[int]().union(*(sockets_of(slot, serving, count) for slot in serving))
    assert covered == set(range(count))
