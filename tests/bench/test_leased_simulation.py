"""A hundred nodes that lease from one bucket stay within the bound, whatever happens to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.leased_simulation import SCENES, Bucket, Scene, Simulation, per_second

SHORT = 6.0


@pytest.mark.parametrize(("name", "scene"), SCENES)
def test_a_hundred_nodes_exceed_a_limit_by_no_more_than_one_lease_of_its_rate(
    name: str, scene: Scene
) -> None:
    # A twentieth of everything, so that it takes no time: only the ratios matter.
    small = scene.rule.limit <= 1_000
    rule = scene.rule if small else per_second(scene.rule.limit // 20, scene.rule.burst // 20)
    found = Simulation(
        replace(scene, rule=rule, seconds=SHORT, nodes=100 if small else 10), 7
    ).run()
    assert found.holds, name
    assert found.admitted > 0


def test_the_bound_is_no_idle_promise() -> None:
    """A rush upon leases that are held does exceed the limit: what is measured is there."""
    rule = per_second(10_000, 1_000)
    found = Simulation(Scene(rule=rule, demand=5.0, calm=0.7, seconds=SHORT)).run()
    assert 0.1 * found.bound < found.excess <= found.bound


def test_leases_spare_calls() -> None:
    found = Simulation(Scene(rule=per_second(20_000, 20_000), demand=0.5, seconds=3)).run()
    assert found.calls < 0.2 * found.requests
    assert found.admitted > found.requests - 100  # the last ones are still on their way


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_order_of_acts_lets_more_in_than_the_bound(data: st.DataObject) -> None:
    """Any number of nodes, each of which takes, lets in, gives back or forgets as it likes, within the lease."""
    rule = per_second(data.draw(st.integers(1, 1000)), data.draw(st.integers(8, 2000)))
    lease = data.draw(st.integers(1, 3_000_000))
    bucket, now = Bucket(rule), 1_000_000_000
    held: list[tuple[int, int]] = []  # how many, and when they were taken
    admitted: list[int] = []
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.one_of(st.integers(0, 1000), st.integers(0, 2_000_000)))
        act = data.draw(st.sampled_from(["take", "take", "spend", "spend", "give", "draw"]))
        held = [(count, at) for count, at in held if count and (act == "give" or now - at <= lease)]
        if act == "take":
            held.append((bucket.take(now, data.draw(st.integers(1, 500))), now))
        elif act == "draw":
            admitted += [now] * bucket.draw(now)
        elif held:
            index = data.draw(st.integers(0, len(held) - 1))
            count, at = held[index]
            part = data.draw(st.integers(0, count))
            held[index] = (count - part, at)
            if act == "give":
                bucket.give(now, part, at)
            else:
                admitted += [now] * part
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            length = admitted[last] - admitted[first]
            most = rule.burst * 1_000_000 + rule.limit * (length + lease)
            assert (last - first + 1) * 1_000_000 <= most
