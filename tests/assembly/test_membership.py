"""Gateways that share a database: what is changed at one holds at all of them when the call returns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.errors import CannotStart
from gateway.domain.change import ChangeType
from gateway.domain.queries import AuditQuery
from gateway.ports import StoreUnavailable
from tests.assembly.cluster import Cluster, Member, cluster
from tests.assembly.serving import add_tenant, serving
from tests.key_samples import an_order
from tests.postgres import connect, fresh
from tests.postgres import postgres as postgres
from tests.wire import until

WHY = an_order("leaked")
QUICK = {"cluster": {"lease": "1s", "acknowledge_timeout": "100ms"}}


@pytest.fixture
async def url(postgres: str) -> AsyncIterator[str]:
    async with fresh(postgres) as address:
        yield address


@pytest.fixture
async def group(tmp_path: Path, url: str) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path, url) as found:
        yield found


async def pair(group: Cluster, **changes: Any) -> tuple[Member, Member]:
    a, b = await group.start("a", **changes), await group.start("b", **changes)
    await add_tenant(a.gateway)
    await listening(a, b)
    return a, b


async def listening(*members: Member) -> None:
    """Wait until each hears of what the others do."""
    for each in members:
        session: Any = each.gateway.cluster and each.gateway.cluster.session
        await until(lambda session=session: session._connection is not None)  # type: ignore[misc]


# ---- changes


async def test_what_is_minted_at_one_works_at_the_other_at_once(group: Cluster) -> None:
    a, b = await pair(group)
    for here, there in ((a, b), (b, a)):
        minted = await here.mint()
        assert await there.status(minted.secret) == 200


async def test_what_is_revoked_at_one_is_refused_by_all_when_the_call_returns(
    group: Cluster,
) -> None:
    a, b = await pair(group)
    c = await group.start("c")
    await listening(c)
    for here in (a, b, c):
        minted = await a.mint()
        assert [await each.status(minted.secret) for each in (a, b, c)] == [200, 200, 200]
        revoked = await here.gateway.keyring.revoke_key(minted.record.key_id, WHY)
        assert [await each.status(minted.secret) for each in (a, b, c)] == [401, 401, 401]
        assert revoked.enforced is not None
        assert (revoked.enforced.acknowledged, revoked.enforced.of) == (3, 3)
        assert revoked.enforced.silent == ()
        assert revoked.enforced.seconds < 3


async def test_a_suspended_tenant_is_refused_by_all_when_the_call_returns(group: Cluster) -> None:
    a, b = await pair(group)
    minted = await a.mint()
    assert await b.status(minted.secret) == 200
    await a.gateway.keyring.tenants.suspend("ten_a", WHY)
    assert await b.status(minted.secret) == 403


async def test_a_deleted_tenant_is_refused_by_all_when_the_call_returns(group: Cluster) -> None:
    a, b = await pair(group)
    minted = await a.mint()
    assert await b.status(minted.secret) == 200
    gone = await a.gateway.keyring.tenants.delete("ten_a", WHY, revoke_keys=True)
    assert gone.enforced is not None
    assert gone.enforced.is_everywhere
    assert await b.status(minted.secret) == 401


async def test_without_news_the_poll_finds_out(group: Cluster) -> None:
    a = await group.start("a")
    b = await group.start("b", store={"poll": "50ms"})
    await add_tenant(a.gateway)
    await listening(a, b)
    session = b.gateway.cluster.session  # type: ignore[union-attr]
    session._on_revision = lambda: None  # type: ignore[union-attr]
    minted = await a.mint()
    assert await b.status(minted.secret) == 200
    revoked = await a.gateway.keyring.revoke_key(minted.record.key_id, WHY)
    assert await b.status(minted.secret) == 401
    assert revoked.enforced is not None
    assert revoked.enforced.is_everywhere


async def test_a_line_that_was_reset_is_made_anew_and_what_was_missed_is_found(
    group: Cluster,
) -> None:
    a, b = await pair(group)
    minted = await a.mint()
    assert await b.status(minted.secret) == 200
    b.line.reset()
    revoked = await a.gateway.keyring.revoke_key(minted.record.key_id, WHY)
    assert await b.status(minted.secret) == 401
    assert revoked.enforced is not None
    assert revoked.enforced.is_everywhere


async def test_what_lasts_at_another_gateway_ends_and_is_counted_by_the_call(
    group: Cluster,
) -> None:
    a, b = await pair(group)
    mine, beside = await a.mint(), await a.mint()
    ending = await b.streams.every_kind("/a", mine.secret)
    ending_here = await a.streams.every_kind("/a", mine.secret)
    staying = await b.streams.every_kind("/a", beside.secret)
    revoked = await a.gateway.keyring.revoke_key(mine.record.key_id, WHY)
    for each in (*ending, *ending_here):
        await each.ends("key_revoked")
    for each in staying:
        await each.goes_on()
    assert revoked.enforced is not None
    assert revoked.enforced.streams_closed == len(ending) + len(ending_here)


# ---- who is cut off


async def test_who_is_cut_off_is_named_until_it_serves_by_nothing_that_was_before(
    group: Cluster,
) -> None:
    a, b = await pair(group, **QUICK)
    minted, unknown = await a.mint(), await a.mint()
    assert await b.status(minted.secret) == 200
    b.line.cut()
    revoked = await a.gateway.keyring.revoke_key(minted.record.key_id, WHY)
    assert revoked.enforced is not None
    assert not revoked.enforced.is_everywhere
    assert [name.split()[1] for name in revoked.enforced.silent] == ["b"]
    assert a.gateway.pending() == 1
    # Named, because this may be so; by the time that it is not named any more, it is not.
    while a.gateway.pending():
        assert await b.status(minted.secret) in (200, 503)
    assert await b.status(minted.secret) == 503
    again = await a.gateway.keyring.revoke_key(unknown.record.key_id, WHY)
    assert again.enforced is not None
    assert again.enforced.is_everywhere
    assert again.enforced.of == 1
    b.line.mend()
    async with asyncio.timeout(20):
        while await b.status(minted.secret) == 503:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.05)
    assert await b.status(minted.secret) == 401
    assert await b.status(unknown.secret) == 401


async def test_streams_of_a_gateway_that_was_cut_off_end_when_it_is_back(group: Cluster) -> None:
    a, b = await pair(group, **QUICK)
    minted = await a.mint()
    [stream, *_] = await b.streams.every_kind("/a", minted.secret)
    b.line.cut()
    await a.gateway.keyring.revoke_key(minted.record.key_id, WHY)
    await stream.goes_on()
    b.line.mend()
    async with asyncio.timeout(20):
        while b.gateway.here.load().in_flight:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.05)


async def test_an_outage_shorter_than_the_lease_is_noticed_by_no_known_key(
    group: Cluster,
) -> None:
    a, b = await pair(group)
    minted = await a.mint()
    other = await a.mint()
    assert await b.status(minted.secret) == 200
    b.line.cut()
    for _ in range(5):
        assert await b.status(minted.secret) == 200
    async with asyncio.timeout(10):
        assert await b.status(other.secret) == 503  # which it never looked up
    b.line.mend()


async def test_who_has_left_in_good_order_is_waited_for_by_nobody(group: Cluster) -> None:
    a, b = await pair(group)
    await b.stop()
    minted = await a.mint()
    revoked = await a.gateway.keyring.revoke_key(minted.record.key_id, WHY)
    assert revoked.enforced is not None
    assert (revoked.enforced.acknowledged, revoked.enforced.of) == (1, 1)


async def test_a_read_only_database_is_asked_about_every_request(group: Cluster, url: str) -> None:
    a = await group.start("a", **QUICK)
    await add_tenant(a.gateway)
    minted, other = await a.mint(), await a.mint()
    assert await a.status(minted.secret) == 200
    database = await connect(url)
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    a.line.reset()
    cluster_of_a = a.gateway.cluster
    assert cluster_of_a is not None
    await until(lambda: not cluster_of_a.is_held)
    for _ in range(3):
        assert await a.status(minted.secret) == 200
        assert await a.status(other.secret) == 200
    with pytest.raises(StoreUnavailable, match="read-only"):
        await a.gateway.keyring.revoke_key(other.record.key_id, WHY)
    await database.execute("SET default_transaction_read_only = off")
    await database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await database.close()
    a.line.reset()
    await until(lambda: cluster_of_a.is_held)
    revoked = await a.gateway.keyring.revoke_key(other.record.key_id, WHY)
    assert revoked.enforced is not None
    assert revoked.enforced.is_everywhere
    assert await a.status(other.secret) == 401


# ---- what one of all does


async def leader_of(*members: Member) -> Member:
    await until(lambda: sum(each.gateway.leads for each in members) == 1)
    return next(each for each in members if each.gateway.leads)


async def test_one_leads_and_another_does_when_it_is_gone(group: Cluster) -> None:
    a, b = await pair(group)
    leader = await leader_of(a, b)
    other = b if leader is a else a
    await leader.stop()
    await until(lambda: other.gateway.leads)


async def test_what_time_does_to_a_key_is_written_down_once(group: Cluster) -> None:
    a, b = await pair(group)
    await leader_of(a, b)
    minted = await a.mint(expires_at=time.time() + 0.3)
    query = AuditQuery(key_id=minted.record.key_id, type=ChangeType.KEY_EXPIRED)
    async with asyncio.timeout(20):
        while not (told := await a.gateway.audit.page(query)):  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.2)
    told = await b.gateway.audit.page(query)
    assert [record.actor for record in told] == ["caretaker"]


async def test_all_write_one_audit_trail_and_each_can_verify_it(group: Cluster) -> None:
    a, b = await pair(group)
    await asyncio.gather(*(each.mint() for each in (a, b) for _ in range(10)))
    for each in (a, b):
        report = await each.gateway.audit.verify()
        assert report.fault is None
        assert report.records >= 21
    c = await group.start("c")  # which has never seen any of it
    report = await c.gateway.audit.verify()
    assert report.fault is None
    assert await c.gateway.audit.page(AuditQuery(type="audit.restarted")) == []


async def test_a_trail_that_lost_records_is_noticed_by_every_gateway(
    group: Cluster, url: str
) -> None:
    a, b = await pair(group)
    await a.mint()
    reports = [await each.gateway.audit.verify() for each in (a, b)]
    assert {report.fault for report in reports} == {None}
    other = await connect(url)
    await other.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    await other.close()
    for each in (a, b):
        report = await each.gateway.audit.verify()
        assert report.fault is not None


async def test_a_gateway_that_signs_with_another_key_is_refused(
    group: Cluster, tmp_path: Path
) -> None:
    await group.start("a")
    (tmp_path / "audit.key").unlink()
    with pytest.raises(CannotStart, match=r"audit\.key: gateway a .* with another key"):
        await group.start("b")
    (tmp_path / "audit.key").unlink(missing_ok=True)


async def test_gateways_that_start_together_bring_up_the_same_keys(group: Cluster) -> None:
    declared = {
        "tenants": [{"id": "ten_d", "name": "Declared"}],
        "keys": [
            {
                "id": f"key_{n}", "tenant": "ten_d", "name": "k", "format": "tollhouse",
                "environment": "live", "hash": f"{n:064x}", "pepper": "p1", "display": "sk_live_x",
            }
            for n in range(1, 6)
        ],
    }  # fmt: skip
    await group.start("first")  # the key of the trail is there then
    found = await asyncio.gather(
        *(group.start(name, bootstrap=declared) for name in ("a", "b", "c"))
    )
    for each in found:
        assert len(await each.gateway.store.list_keys()) == 5
    told = await found[0].gateway.audit.page(AuditQuery(type="key.created"))
    assert len(told) == 5


# ---- what operators see


async def test_all_gateways_are_listed_by_each(group: Cluster) -> None:
    a, b = await pair(group)
    for here in (a, b):
        reports = await here.gateway.cluster.report()  # type: ignore[union-attr]
        assert [each.node.name for each in reports] == ["a", "b"]
        assert [each.is_live for each in reports] == [True, True]
        assert [each.node.name for each in reports if each.is_self] == [
            here.gateway.config.cluster.node
        ]
    text, _ = a.gateway.recorders.metrics.render()
    assert b'tollhouse_nodes{state="live"} 2.0' in text
    assert b"tollhouse_node_lease_seconds" in text


async def test_a_gateway_with_a_file_is_alone(tmp_path: Path) -> None:
    from gateway.assembly.membership import Register

    async with serving(tmp_path) as gateway:
        [alone] = await Register(gateway).report()
        assert (alone.is_self, alone.is_live) == (True, True)
        assert gateway.leads
        assert gateway.pending() == 0


async def test_a_database_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    edge = "store: postgresql://u:hunter2@127.0.0.1:1/d\n"
    with pytest.raises(StoreUnavailable, match=r"postgresql://u@127\.0\.0\.1:1/d") as caught:
        async with serving(tmp_path, edge=edge + "listeners: {public: {bind: '127.0.0.1:0'}}\n"):
            raise AssertionError("must not open")
    assert "hunter2" not in str(caught.value)
