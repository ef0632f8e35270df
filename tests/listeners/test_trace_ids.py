from __future__ import annotations

import re
from random import Random

from gateway.listeners.trace_ids import TraceIds


def test_ids_are_what_a_trace_context_wants_and_none_is_given_twice() -> None:
    ids = TraceIds(Random(1))
    taken = [ids.take() for _ in range(1000)]
    assert len(set(taken)) == 1000
    assert all(re.fullmatch(rb"[0-9a-f]{32}", each) for each in taken)


def test_two_processes_that_draw_from_different_seeds_share_none() -> None:
    one, other = TraceIds(Random(1)), TraceIds(Random(2))
    assert not {one.take() for _ in range(300)} & {other.take() for _ in range(300)}
