"""Names become targets, and stay what they were when nobody knows better. No name is looked up for real."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from gateway.upstreams.resolver import (
    ADDRESSES_MAX,
    Family,
    Names,
    SystemResolver,
    can_connect,
    is_name,
    race,
)
from gateway.upstreams.target import Address
from tests.wire import silent, until

NAME = "jobs.internal"
JOBS = Address(host=NAME, port=9000, authority=f"{NAME}:9000")
FIXED = Address(host="10.0.0.9", port=9000, authority="10.0.0.9:9000")
SOCKET = Address(unix_path="/run/app.sock", authority="localhost")


class FakeResolver:
    """Implements `Resolver` from a table; an `OSError` in it is raised."""

    def __init__(self, **answers: Sequence[str] | OSError) -> None:
        self.answers: dict[str, Sequence[str] | OSError] = {NAME: answers["jobs"]}
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers[host]
        if isinstance(answer, OSError):
            raise answer
        return answer


class World:
    """Names with a fake resolver, a fake network, and what they tell."""

    def __init__(
        self,
        *addresses: Address,
        jobs: Sequence[str] | OSError = (),
        family: Family = "any",
        reachable: Sequence[str] = (),
        weights: Sequence[int] = (),
    ) -> None:
        self.resolver = FakeResolver(jobs=jobs)
        self.reachable = set(reachable)
        self.tried: list[str] = []
        self.told: list[Mapping[Address, int]] = []
        self.outcomes: Counter[str] = Counter()
        configured = addresses or (JOBS,)
        self.names = Names(
            "u",
            dict(zip(configured, weights or [1] * len(configured), strict=True)),
            every_seconds=0.01,
            family=family,
            resolver=self.resolver,
            reach=self._reach,
            retarget=self.told.append,
            count=self._count,
            random=lambda: 0.0,
        )

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    async def _reach(self, address: Address) -> bool:
        self.tried.append(address.host)
        return address.host in self.reachable

    @property
    def hosts(self) -> list[str]:
        """The hosts of the targets that were told last."""
        return [address.host or address.unix_path for address in self.told[-1]]


async def test_each_address_of_a_name_is_a_target() -> None:
    world = World(jobs=["10.0.0.2", "10.0.0.1", "10.0.0.2"])
    await world.names.refresh()
    assert world.told == [{at("10.0.0.1"): 1, at("10.0.0.2"): 1}]
    assert world.outcomes == {"ok": 1}


def at(host: str) -> Address:
    return replace(JOBS, host=host, server_name=NAME)


async def test_name_stays_the_one_for_tls_and_host() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own = Address(host=NAME, port=443, tls=context, server_name="other.test", authority=NAME)
    for address, name in ((replace(own, server_name=""), NAME), (own, "other.test")):
        world = World(address, jobs=["10.0.0.1"])
        await world.names.refresh()
        (target,) = world.told[0]
        assert (target.tls, target.server_name, target.authority) == (context, name, NAME)


async def test_order_of_an_answer_means_nothing() -> None:
    world = World(jobs=["10.0.0.1", "10.0.0.2"])
    await world.names.refresh()
    world.resolver.answers[NAME] = ["10.0.0.2", "10.0.0.1"]
    await world.names.refresh()
    assert len(world.told) == 1


async def test_changed_answer_is_told() -> None:
    world = World(jobs=["10.0.0.1", "10.0.0.2"])
    await world.names.refresh()
    world.resolver.answers[NAME] = ["10.0.0.3", "10.0.0.2"]
    await world.names.refresh()
    assert world.hosts == ["10.0.0.2", "10.0.0.3"]


async def test_addresses_and_sockets_are_not_looked_up_and_stay() -> None:
    world = World(FIXED, JOBS, SOCKET, jobs=["10.0.0.1"], weights=[3, 2, 1])
    await world.names.refresh()
    assert world.resolver.asked == [NAME]
    assert world.told == [{FIXED: 3, at("10.0.0.1"): 2, SOCKET: 1}]


async def test_two_names_of_one_machine_are_one_target_with_the_larger_weight() -> None:
    other = replace(JOBS, authority="alias.internal:9000", server_name=NAME)
    world = World(
        replace(other, host="alias.internal"),
        replace(other, host=NAME),
        jobs=["10.0.0.1"],
        weights=[1, 5],
    )
    world.resolver.answers["alias.internal"] = ["10.0.0.1"]
    await world.names.refresh()
    assert list(world.told[0].values()) == [5]


# ---- when nobody answers


async def test_name_that_was_never_found_stays_a_target_itself() -> None:
    world = World(jobs=OSError(-2, "Name or service not known"))
    await world.names.refresh()
    assert not world.told  # the service began with the name, which is looked up for each connection
    assert world.outcomes == {"failed": 1}


@pytest.mark.parametrize(
    "failure", [OSError(-3, "Temporary failure"), OSError("odd"), TimeoutError(), []],
    ids=["temporary", "odd", "timeout", "empty"],
)  # fmt: skip
async def test_last_good_answer_stays_when_a_look_up_fails(
    failure: Sequence[str] | OSError, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(jobs=["10.0.0.1"])
    await world.names.refresh()
    world.resolver.answers[NAME] = failure
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await world.names.refresh()
        assert len(world.told) == 1
        assert world.outcomes == {"ok": 1, "failed": 3}
        assert caplog.text.count("cannot be looked up, its last addresses stay") == 1
        world.resolver.answers[NAME] = ["10.0.0.1"]
        await world.names.refresh()
        assert caplog.text.count("is found again") == 1
    assert len(world.told) == 1


async def test_a_name_that_fails_does_not_hold_back_another() -> None:
    world = World(JOBS, replace(JOBS, host="other.internal"), jobs=OSError("no"))
    world.resolver.answers["other.internal"] = ["10.0.0.1"]
    await world.names.refresh()
    assert world.hosts == [NAME, "10.0.0.1"]


async def test_answer_is_bounded() -> None:
    world = World(jobs=[f"10.0.{n}.1" for n in range(2 * ADDRESSES_MAX)])
    await world.names.refresh()
    assert len(world.hosts) == ADDRESSES_MAX


# ---- IPv4 and IPv6

BOTH = ["2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("reachable", "hosts"),
    [
        (BOTH, ["2001:db8::1", "2001:db8::2"]),
        (["10.0.0.1"], ["10.0.0.1", "10.0.0.2"]),
        (["2001:db8::1"], ["2001:db8::1", "2001:db8::2"]),
        ([], ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"]),
    ],
    ids=["both", "only-4", "only-6", "neither"],
)  # fmt: skip
async def test_of_two_kinds_the_preferred_one_that_can_be_reached_is_used(
    reachable: list[str], hosts: list[str]
) -> None:
    world = World(jobs=BOTH, reachable=reachable)
    await world.names.refresh()
    assert world.hosts == hosts


async def test_system_says_which_kind_is_preferred() -> None:
    world = World(jobs=BOTH[::-1], reachable=BOTH)
    await world.names.refresh()
    assert world.hosts == ["10.0.0.1", "10.0.0.2"]


async def test_nothing_is_tried_when_there_is_nothing_to_choose() -> None:
    for family, answer in (("any", BOTH[:2]), ("ipv4", BOTH), ("ipv6", BOTH)):
        world = World(jobs=answer, family=family)  # type: ignore[arg-type]
        await world.names.refresh()
        assert (len(world.hosts), world.tried) == (2, [])


async def test_name_without_an_address_of_the_wanted_kind_has_failed() -> None:
    world = World(jobs=BOTH[:2], family="ipv4")
    await world.names.refresh()
    assert world.outcomes == {"failed": 1}


async def test_kind_that_stops_working_is_left_at_the_next_look_up() -> None:
    world = World(jobs=BOTH, reachable=BOTH)
    await world.names.refresh()
    world.reachable = {"10.0.0.1"}
    await world.names.refresh()
    assert world.hosts == ["10.0.0.1", "10.0.0.2"]


async def never() -> bool:
    await asyncio.Event().wait()
    raise AssertionError


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def soon() -> bool:
    await asyncio.sleep(0.01)
    return True


async def test_race_is_won_by_whoever_succeeds_and_the_first_has_a_head_start() -> None:
    async with asyncio.timeout(5):
        assert await race(yes, never, 60.0) == 0
        assert await race(soon, yes, 60.0) == 0
        assert await race(never, yes, 0.01) == 1
        assert await race(no, soon, 60.0) == 1
        assert await race(soon, no, 0.0) == 0
        assert await race(soon, never, 0.0) == 0
        assert await race(no, no, 60.0) == 2


# ---- over and over


async def test_names_are_looked_up_until_cancelled() -> None:
    world = World(jobs=["10.0.0.1"])
    task = asyncio.create_task(world.names.run())
    await until(lambda: world.outcomes["ok"] >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- the system


async def test_system_finds_this_machine() -> None:
    assert "127.0.0.1" in await SystemResolver().resolve("127.0.0.1")


async def test_connecting_is_tried_for_real() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        assert await can_connect(address)
    assert not await can_connect(address)


def test_what_has_to_be_looked_up() -> None:
    assert is_name("jobs.internal")
    assert is_name("localhost")
    assert not is_name("10.0.0.1")
    assert not is_name("::1")
    assert not is_name("")
