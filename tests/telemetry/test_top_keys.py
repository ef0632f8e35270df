from __future__ import annotations

from random import Random

from gateway.domain.usage import OTHER, Cell
from gateway.telemetry.top_keys import TURN_SECONDS, TopKeys
from tests.clock import FakeClock
from tests.usage_samples import a_cell, dimensions


def cells(**requests: int) -> list[Cell]:
    return [a_cell(requests=count, of=dimensions(key)) for key, count in requests.items()]


def told(top: TopKeys) -> dict[str, float]:
    return {key_id: count for (_, key_id), count in top.reading().items()}


def test_the_first_keys_have_a_series_from_their_first_request_on() -> None:
    top = TopKeys(FakeClock(), 2)
    top.count(cells(a=3, b=1, c=5))
    top.count(cells(a=1, c=1))
    assert told(top) == {"a": 4, "b": 1, OTHER: 6}
    assert top.reading()["ten_a", "a"] == 4
    assert top.reading()[OTHER, OTHER] == 6


def test_a_key_with_more_requests_takes_the_place_of_another_d10() -> None:
    clock = FakeClock()
    top = TopKeys(clock, 2)
    top.count(cells(a=3, b=1, c=5))
    clock.advance(TURN_SECONDS)
    top.count(cells(c=1))
    assert told(top) == {"a": 3, "c": 0, OTHER: 7}
    top.count(cells(b=2, c=2))
    assert told(top) == {"a": 3, "c": 2, OTHER: 9}


def test_equals_do_not_change_places() -> None:
    clock = FakeClock()
    top = TopKeys(clock, 1)
    top.count(cells(a=100, b=110))
    clock.advance(TURN_SECONDS)
    top.count([])
    assert set(told(top)) == {"a", OTHER}


def test_a_key_that_nobody_displaces_keeps_its_series() -> None:
    clock = FakeClock()
    top = TopKeys(clock, 2)
    top.count(cells(a=1))
    for _ in range(20):
        clock.advance(TURN_SECONDS)
        top.count(cells(b=1))
    assert told(top) == {"a": 1, "b": 20, OTHER: 0}


def test_requests_without_a_key_are_not_counted_and_folded_ones_are_others() -> None:
    top = TopKeys(FakeClock(), 2)
    top.count([a_cell(requests=3, of=dimensions("")), a_cell(requests=2, of=dimensions(OTHER))])
    assert told(top) == {OTHER: 2}


def test_nothing_is_told_while_it_is_off() -> None:
    top = TopKeys(FakeClock(), 0)
    top.count(cells(a=1))
    assert top.reading() == {}
    top.follow(1)
    top.count(cells(a=1))
    assert told(top) == {"a": 1, OTHER: 0}


def test_fewer_series_take_the_rest_to_the_others() -> None:
    top = TopKeys(FakeClock(), 3)
    top.count(cells(a=1, b=2, c=3))
    top.follow(1)
    assert told(top) == {"c": 3, OTHER: 3}
    top.follow(0)
    assert top.reading() == {}
    top.follow(2)
    assert sum(told(top).values()) == 6


def test_others_never_go_back_and_all_together_tell_every_request_d10() -> None:
    """A key that comes again begins at 0, which is a reset to Prometheus; nothing else ever goes back."""
    random, clock = Random(3), FakeClock()
    top, total, before = TopKeys(clock, 5), 0, {OTHER: 0.0}
    for _ in range(2_000):
        key = f"key_{min(random.randrange(100), random.randrange(100))}"
        count = random.randrange(1, 20)
        total += count
        top.count([a_cell(requests=count, of=dimensions(key))])
        clock.advance(random.randrange(10))
        now = told(top)
        assert len(now) <= 6
        assert sum(now.values()) == total
        assert now[OTHER] >= before[OTHER]
        for each in now.keys() & before.keys():
            assert now[each] >= before[each]
        before = now


def test_memory_is_bounded_however_many_keys_there_are_d10() -> None:
    clock = FakeClock()
    top = TopKeys(clock, 10)
    for number in range(20_000):
        top.count([a_cell(of=dimensions(f"key_{number}"))])
        if number % 500 == 0:
            clock.advance(TURN_SECONDS)
    assert len(top._scores) <= 401
    assert sum(told(top).values()) == 20_000
