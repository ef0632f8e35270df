"""Gateways that share a store: what each may believe, and when a change has reached them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config.model import Cluster as Settings
from gateway.control.cluster import Cluster
from gateway.domain.nodes import Node
from gateway.ports import StoreUnavailable
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant
from tests.nodes import Book, MemoryNodes

LEASE = 10.0
QUICK = 0.01


class Member:
    """One gateway: its cluster, its clock and its way to the register."""

    def __init__(self, book: Book, name: str, *, lease: float = LEASE, patience: float = QUICK):
        self.clock = FakeClock(monotonic=5_000.0 if name == "b" else 1_000.0)
        self.nodes = MemoryNodes(book)
        settings = Settings(lease=lease, acknowledge_timeout=patience)
        own = Node(node_id=f"node_{name}", name=name)
        self.cluster = Cluster(own, self.nodes, lambda: settings, self.clock.monotonic)
        self.regained = 0
        self.spread: list[float] = []
        self.cluster.regain = self._regain
        self.cluster.spread = self.spread.append

    async def _regain(self) -> None:
        assert not self.cluster.is_held
        self.regained += 1


class FakeSession:
    is_leader = True

    async def attend(self) -> None: ...


async def two(book: Book, **values: Any) -> tuple[Member, Member]:
    a, b = Member(book, "a", **values), Member(book, "b", **values)
    for each in (a, b):
        await each.cluster.join()
    return a, b


def advance(seconds: float, *members: Member) -> None:
    for each in members:
        each.clock.advance(seconds)


async def change(book: Book, key_id: str = "key_a") -> int:
    """Write a key; return the revision."""
    if await book.store.get_tenant("ten_a") is None:
        await book.store.save_tenant(a_tenant())
    return (await book.store.save_key(a_key(key_id))).revision


@pytest.fixture
def book() -> Book:
    return Book()


# ---- our own lease


async def test_whoever_joins_believes_its_memory_for_nine_tenths_of_the_lease(book: Book) -> None:
    member = Member(book, "a")
    assert not member.cluster.is_held
    await member.cluster.join()
    assert member.cluster.lease.until == 1_000.0 + 9.0
    advance(8.9, member)
    assert member.cluster.is_held
    advance(0.2, member)
    assert not member.cluster.is_held


async def test_a_sign_of_life_prolongs_the_lease_from_before_it_was_given(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    beat = member.nodes.beat

    async def slowly(own: Node) -> Any:
        advance(3, member)
        return await beat(own)

    member.nodes.beat = slowly  # type: ignore[method-assign]
    advance(2, member)
    await member.cluster.beat()
    assert member.cluster.lease.until == 1_002.0 + 9.0
    assert member.spread == [1_009.0, 1_011.0]
    assert member.regained == 0


async def test_a_lease_that_ran_out_is_taken_up_again_only_after_all_was_forgotten(
    book: Book,
) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    advance(9.5, member)
    await member.cluster.beat()
    assert member.regained == 1  # which saw that it was not held
    assert member.cluster.is_held


async def test_a_lease_that_ran_out_while_the_sign_was_under_way_ran_out(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    beat = member.nodes.beat

    async def slowly(own: Node) -> Any:
        advance(5, member)
        return await beat(own)

    member.nodes.beat = slowly  # type: ignore[method-assign]
    advance(5, member)
    await member.cluster.beat()
    assert member.regained == 1


async def test_while_nothing_can_be_forgotten_the_lease_is_not_taken_up(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()

    async def fail() -> None:
        raise StoreUnavailable("away again")

    member.cluster.regain = fail
    advance(20, member)
    with pytest.raises(StoreUnavailable):
        await member.cluster.beat()
    assert not member.cluster.is_held


async def test_without_the_store_the_lease_runs_out_and_it_is_tried_more_often(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    assert member.cluster.pause == LEASE / 5
    member.nodes.is_away = True
    with pytest.raises(StoreUnavailable):
        await member.cluster.beat()
    assert member.cluster.pause < 1
    assert member.cluster.lease.until == 1_009.0
    member.nodes.is_away = False
    await member.cluster.beat()
    assert member.cluster.pause == LEASE / 5


async def test_who_leaves_believes_nothing_more_and_is_waited_for_by_nobody(book: Book) -> None:
    a, b = await two(book)
    await b.cluster.leave()
    assert not b.cluster.is_held
    assert list(book.nodes) == ["node_a"]
    await change(book)
    assert (await a.cluster.reach(["key_a"])).of == 0


async def test_leaving_without_the_store_is_no_failure(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    member.nodes.is_away = True
    await member.cluster.leave()
    assert not member.cluster.is_held


async def test_who_was_struck_out_is_entered_again_with_what_it_has_acknowledged(
    book: Book,
) -> None:
    await change(book)
    member = Member(book, "a")
    await member.cluster.join()
    await member.cluster.acknowledge(2, {})
    await change(book, "key_b")
    await member.nodes.remove("node_a")
    await member.cluster.beat()
    assert book.nodes["node_a"].acknowledged_revision == 2


async def test_only_the_leader_of_the_session_leads_and_only_while_the_lease_holds(
    book: Book,
) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    assert not member.cluster.is_leader
    member.cluster.session = FakeSession()
    assert member.cluster.is_leader
    advance(9.5, member)
    assert not member.cluster.is_leader


async def test_company_is_known_from_the_beginning(book: Book) -> None:
    a, b = await two(book)
    assert (a.cluster.has_company, b.cluster.has_company) == (False, True)


async def test_the_register_says_where_a_gateway_serves_and_whether_it_leads(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    member.cluster.serve_at("192.0.2.1:8080")
    member.cluster.session = FakeSession()
    await member.cluster.beat()
    node = book.nodes["node_a"]
    assert (node.address, node.is_leader) == ("192.0.2.1:8080", True)


# ---- what is acknowledged


async def test_whoever_joins_has_acknowledged_everything(book: Book) -> None:
    await change(book)
    member = Member(book, "a")
    await member.cluster.join()
    assert book.nodes["node_a"].acknowledged_revision == 2
    assert member.cluster.own.acknowledged_revision == 2


async def test_an_acknowledgement_is_written_once(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    await member.cluster.acknowledge(3, {"key_a": 0, "key_b": 2})
    node = book.nodes["node_a"]
    assert (node.acknowledged_revision, [cut.record_id for cut in node.cuts]) == (3, ["key_b"])
    member.nodes.is_away = True
    await member.cluster.acknowledge(3, {})  # nothing new: nothing is asked of the store
    with pytest.raises(StoreUnavailable):
        await member.cluster.acknowledge(4, {"key_c": 1})
    member.nodes.is_away = False
    await member.cluster.acknowledge(4, {})
    node = book.nodes["node_a"]
    assert [(cut.revision, cut.record_id) for cut in node.cuts] == [(3, "key_b"), (4, "key_c")]


async def test_an_acknowledgement_that_the_store_has_lost_is_given_again(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    await member.cluster.acknowledge(3, {})
    await member.nodes.acknowledge("node_a", 1, ())  # a store that was restored
    await member.cluster.beat()
    await member.cluster.acknowledge(3, {})
    assert book.nodes["node_a"].acknowledged_revision == 3


async def test_of_the_cuts_only_the_latest_are_told(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    for number in range(100):
        await member.cluster.acknowledge(number, {f"key_{number}": 1})
    cuts = book.nodes["node_a"].cuts
    assert len(cuts) == 64
    assert cuts[-1].record_id == "key_99"


# ---- how far a change has come


async def test_alone_nobody_is_waited_for(book: Book) -> None:
    member = Member(book, "a")
    await member.cluster.join()
    await change(book)
    reach = await member.cluster.reach(["key_a"])
    assert (reach.of, reach.silent) == (0, ())


async def test_a_change_has_reached_everybody_when_all_have_acknowledged_it(book: Book) -> None:
    a, b = await two(book, patience=60.0)
    revision = await change(book)
    reaching = asyncio.create_task(a.cluster.reach(["key_a"]))
    await asyncio.sleep(0)
    await b.cluster.acknowledge(revision, {"key_a": 3, "key_other": 5})
    a.cluster.hear()
    reach = await reaching
    assert (reach.of, reach.silent, reach.cut) == (1, (), 3)
    assert a.cluster.silent == []


async def test_what_news_of_our_own_change_ended_here_counts_before_it_is_in_the_register(
    book: Book,
) -> None:
    a, _ = await two(book)
    revision = await change(book)
    a.nodes.is_away = True
    with pytest.raises(StoreUnavailable):
        await a.cluster.acknowledge(revision, {"key_a": 2})
    a.nodes.is_away = False
    assert (await a.cluster.reach(["key_a"])).cut == 2


async def test_an_acknowledgement_is_noticed_without_news_of_it(book: Book) -> None:
    a, b = await two(book, patience=60.0)
    revision = await change(book)
    reaching = asyncio.create_task(a.cluster.reach(["key_a"]))
    await asyncio.sleep(0)
    await b.cluster.acknowledge(revision, {})
    assert (await reaching).silent == ()


async def test_what_was_acknowledged_before_the_change_does_not_count(book: Book) -> None:
    a, b = await two(book)
    await b.cluster.acknowledge(await change(book), {"key_a": 9})
    await change(book)  # once more
    reach = await a.cluster.reach(["key_a"])
    assert reach.silent == ("gateway b (node_b)",)
    assert reach.cut == 0


async def test_who_does_not_answer_is_named_and_not_waited_for_again(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await two(book)
    await change(book)
    assert (await a.cluster.reach(["key_a"])).silent == ("gateway b (node_b)",)
    assert a.cluster.silent == ["gateway b (node_b)"]
    a.cluster._settings = lambda: Settings(acknowledge_timeout=3600.0)
    await change(book, "key_b")
    async with asyncio.timeout(60):
        reach = await a.cluster.reach(["key_b"])
    assert (reach.of, reach.silent) == (1, ("gateway b (node_b)",))
    assert caplog.text.count("has not acknowledged a change") == 1
    del b


async def test_who_answers_late_is_silent_no_more_once_it_has_answered_everything(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await two(book)
    first = await change(book)
    await a.cluster.reach(["key_a"])
    second = await change(book, "key_b")
    await a.cluster.reach(["key_b"])
    await b.cluster.acknowledge(first, {})
    await a.cluster.beat()
    assert a.cluster.silent == ["gateway b (node_b)"]
    await b.cluster.acknowledge(second, {})
    await a.cluster.beat()
    assert a.cluster.silent == []
    assert "has acknowledged it" in caplog.text


async def test_a_gateway_whose_lease_is_over_is_not_waited_for(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    a, _ = await two(book)
    await a.cluster.beat()  # sees b
    await change(book)
    assert (await a.cluster.reach(["key_a"])).silent != ()
    advance(LEASE, a)
    await change(book, "key_b")
    reach = await a.cluster.reach(["key_b"])
    assert (reach.of, reach.silent) == (0, ())
    assert a.cluster.silent == []
    assert "is gone, after" in caplog.text


async def test_others_wait_for_the_whole_lease_that_a_gateway_has_given_itself(book: Book) -> None:
    a, b = Member(book, "a"), Member(book, "b", lease=3600.0)
    await a.cluster.join()
    await b.cluster.join()
    await a.cluster.beat()
    advance(3500.0, a)
    await change(book)
    assert (await a.cluster.reach(["key_a"])).silent != ()
    advance(100.0, a)
    assert (await a.cluster.reach(["key_a"])).silent == ()


async def test_a_change_that_cannot_be_followed_names_all_who_may_serve_by_what_was_before(
    book: Book,
) -> None:
    a, _ = await two(book)
    await a.cluster.beat()
    await change(book)
    a.nodes.is_away = True
    reach = await a.cluster.reach(["key_a"])
    assert (reach.of, reach.silent) == (1, ("gateway b (node_b)",))


async def test_an_outage_in_the_middle_of_the_waiting_is_waited_out(book: Book) -> None:
    a, b = await two(book, patience=60.0)
    revision = await change(book)
    reaching = asyncio.create_task(a.cluster.reach(["key_a"]))
    await asyncio.sleep(0)
    a.nodes.is_away = True
    a.cluster.hear()
    await asyncio.sleep(0)
    await b.cluster.acknowledge(revision, {})
    a.nodes.is_away = False
    assert (await reaching).silent == ()


# ---- the whole rule


async def steps_of_a_gateway_that_is_cut_off(
    book: Book, see: Callable[[Member, Member], None]
) -> None:
    """Cut b off, and let a second pass after the other: the clock of b runs a tenth too slow."""
    a, b = await two(book)
    await a.cluster.beat()
    b.nodes.is_away = True
    for _ in range(200):
        a.clock.advance(0.1)
        b.clock.advance(0.1 * 0.91)
        await a.cluster.beat()
        see(a, b)


async def test_whoever_is_held_for_dead_has_stopped_believing_before(book: Book) -> None:
    seen = set()

    def see(a: Member, b: Member) -> None:
        is_live = a.cluster._may_serve(book.nodes["node_b"])
        seen.add((b.cluster.is_held, is_live))

    await steps_of_a_gateway_that_is_cut_off(book, see)
    assert (True, False) not in seen
    assert {(True, True), (False, True), (False, False)} == seen


# ---- what operators see


async def test_the_report_tells_who_lives_and_for_how_long_there_was_no_sign(book: Book) -> None:
    a, _ = await two(book)
    await a.cluster.beat()
    advance(4, a)
    reports = await a.cluster.report()
    assert [(each.node.name, each.is_self, each.is_live) for each in reports] == [
        ("a", True, True),
        ("b", False, True),
    ]
    assert [each.age_seconds for each in reports] == [4.0, 4.0]
    advance(6, a)
    await a.cluster.beat()
    assert [each.is_live for each in await a.cluster.report()] == [True, False]
    assert a.cluster.counts() == {("live",): 1.0, ("lost",): 1.0}


async def test_who_is_gone_for_long_is_struck_out_and_nobody_else(book: Book) -> None:
    a, b = await two(book)
    await a.cluster.beat()
    advance(3599.0, a)
    await a.cluster.beat()
    await a.cluster.strike_out()
    assert "node_b" in book.nodes
    advance(1.0, a)
    await a.cluster.strike_out()
    assert list(book.nodes) == ["node_a"]
    await b.cluster.beat()  # which comes back as if nothing had happened
    assert "node_b" in book.nodes
