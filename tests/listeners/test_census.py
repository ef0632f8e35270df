"""Who may come and who makes room, told with connections that are only a number."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.domain.closing import Closed, Refused
from gateway.limiters.headcount import MemoryHeadcount
from gateway.listeners.census import Census
from gateway.listeners.connection import DownstreamConnection

INFINITY = float("inf")

pytestmark = pytest.mark.pure


class Fake:
    def __init__(self, idle_since: float, address: str = "192.0.2.1") -> None:
        self.idle_since = idle_since
        self.looks = 0
        self.peer_address = address
        self.counted_as = ""
        self.is_evicted = False
        self.is_refused = False
        self.may_go = True

    def evict(self) -> bool:
        self.is_evicted = self.may_go
        return self.may_go


class House:
    def __init__(self, ipv6_prefix: int = 64) -> None:
        self.now = 100.0
        self.headcount = MemoryHeadcount()
        self.census = Census(lambda: self.now, ipv6_prefix=ipv6_prefix, headcount=self.headcount)

    def come(self, *idle_since: float) -> list[Fake]:
        fakes = [Fake(since) for since in idle_since]
        self.census.connections.update(cast("list[DownstreamConnection]", fakes))
        return fakes

    def has_room(self) -> bool:
        return self.census.has_room(len(self.census.connections))

    def identify(self, fake: Any, maximum: int = 1) -> bool:
        return self.census.identify(fake, maximum)


def test_nobody_goes_while_there_is_room() -> None:
    house = House()
    fakes = house.come(1.0, 2.0)
    assert house.census.has_room(3)
    assert not any(fake.is_evicted for fake in fakes)


def test_the_longest_idle_connections_go_one_by_one() -> None:
    house = House()
    fakes = house.come(*(float(n) for n in range(50, 0, -1)))
    for gone in range(1, 51):
        assert house.has_room()
        assert [f.idle_since for f in fakes if f.is_evicted] == list(range(gone, 0, -1))
    assert not house.census.connections


def test_busy_connections_never_go() -> None:
    house = House()
    (busy, idle) = house.come(INFINITY, 1.0)
    assert house.has_room()
    assert not house.has_room()
    assert idle.is_evicted
    assert not busy.is_evicted


def test_a_connection_that_may_be_closed_only_later_stays() -> None:
    house = House()
    (new,) = house.come(100.5)
    assert not house.has_room()
    house.now = 102.0
    assert house.has_room()
    assert new.is_evicted


def test_a_look_that_found_nothing_stands_for_a_second() -> None:
    house = House()
    (busy,) = house.come(INFINITY)
    assert not house.has_room()
    busy.idle_since = 1.0
    house.now += 0.5
    assert not house.has_room()
    house.now += 0.5
    assert house.has_room()


def test_a_connection_that_was_used_since_it_was_seen_idle_stays() -> None:
    house = House()
    fakes = house.come(*(float(n) for n in range(1, 33)))  # a look finds two at once
    assert house.has_room()
    fakes[1].idle_since = INFINITY
    assert house.has_room()
    assert [n for n, fake in enumerate(fakes) if fake.is_evicted] == [0, 2]


def test_a_connection_that_ended_since_it_was_seen_idle_is_not_ended_again() -> None:
    house = House()
    fakes = house.come(*(float(n) for n in range(1, 33)))
    assert house.has_room()
    house.census.forget(cast("DownstreamConnection", fakes[1]))
    assert house.has_room()
    assert [n for n, fake in enumerate(fakes) if fake.is_evicted] == [0, 2]


def test_a_connection_with_an_answer_on_its_way_stays() -> None:
    house = House()
    fakes = house.come(1.0)
    fakes[0].may_go = False
    assert not house.has_room()
    assert not fakes[0].is_evicted


def test_an_address_has_its_share_and_gets_it_back() -> None:
    house = House()
    one, other = Fake(1.0), Fake(1.0)
    assert house.identify(one)
    assert not house.identify(other)
    for fake in (one, other, other):
        house.census.forget(cast("DownstreamConnection", fake))
    assert house.headcount.open == {}
    assert house.identify(one)


def test_addresses_of_one_ipv6_network_share() -> None:
    house = House(ipv6_prefix=64)
    assert house.identify(Fake(1.0, "2001:db8::1"))
    assert not house.identify(Fake(1.0, "2001:db8::ffff:2"))
    assert house.identify(Fake(1.0, "2001:db8:0:1::1"))
    assert house.identify(Fake(1.0, "::ffff:192.0.2.7"))
    assert not house.identify(Fake(1.0, "192.0.2.7"))


def test_without_a_limit_or_an_address_nothing_is_counted() -> None:
    house = House()
    assert all(house.identify(Fake(1.0), maximum=0) for _ in range(3))
    assert all(house.identify(Fake(1.0, "")) for _ in range(3))
    assert house.headcount.open == {}


def test_refusals_are_counted_by_cause() -> None:
    house = House()
    fake: Any = Fake(1.0)
    assert house.census.refuse(fake, Refused.UNNAMED) is False
    assert fake.is_refused
    assert house.census.refused == dict.fromkeys(Refused, 0) | {Refused.UNNAMED: 1}
    assert house.census.closed == dict.fromkeys(Closed, 0)
