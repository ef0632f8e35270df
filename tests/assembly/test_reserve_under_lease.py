"""Gateways that share a database: one that died goes by its snapshot for what is left of its lease, and not longer."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.clock import uptime
from gateway.domain.key_snapshots import Moment
from gateway.domain.nodes import TRUST
from gateway.ports import StoreUnavailable
from tests.assembly.cluster import Cluster, Member, cluster
from tests.assembly.serving import add_tenant, written
from tests.assembly.test_returning import WHY
from tests.postgres import fresh
from tests.postgres import postgres as postgres
from tests.wire import until

LEASE = 60.0


@pytest.fixture
async def group(tmp_path: Path, postgres: str) -> AsyncIterator[Cluster]:
    async with fresh(postgres) as url, cluster(tmp_path, url) as found:
        yield found


async def died(group: Cluster, member: Member) -> None:
    """Let `member` be as if it had been killed: it hears and tells nothing, and its files are copied as they lie."""
    member.line.end()
    shutil.copytree(group.folder / "a" / "data", group.folder / "again" / "data")


async def started_again(group: Cluster, member: Member) -> Member:
    url = member.gateway.config.store.url.get_secret_value()
    return await group.start("again", store={"url": url}, cluster={"node": "a"})


async def test_who_died_goes_by_its_snapshot_for_what_is_left_of_its_lease(group: Cluster) -> None:
    a, b = await group.start("a"), await group.start("b")
    await add_tenant(a.gateway)
    good, revoked = await a.mint(), await a.mint()
    await written(a.gateway)
    later = await b.mint()
    assert (await b.gateway.keyring.revoke_key(revoked.record.key_id, WHY)).enforced.silent == ()  # type: ignore[union-attr]
    lease = a.gateway.lease
    assert lease is not None
    await died(group, a)
    again = await started_again(group, a)
    gateway = again.gateway
    assert gateway.cluster is None
    assert gateway.lease is not None
    assert uptime() < gateway.lease.until <= lease.until <= uptime() + LEASE * TRUST
    assert await again.status(good.secret) == 200
    assert await again.status(later.secret) == 200
    assert await again.status(revoked.secret) == 401
    assert (await again.ask("sk_live_nobody")).status == 401  # that is no key at all
    # The lease ends, and with it all belief.
    gateway.lease.until = 0.0
    assert gateway.reserve.known is not None
    moment = gateway.reserve.moment

    def after() -> Moment:
        now = moment()
        return Moment(now.at, now.uptime + LEASE, now.boot)

    gateway.reserve.known._moment = after
    assert await again.status(good.secret) == 503


async def test_who_died_is_waited_for_while_it_may_go_by_its_snapshot(group: Cluster) -> None:
    a = await group.start("a")
    b = await group.start("b", cluster={"acknowledge_timeout": "200ms"})
    await add_tenant(a.gateway)
    key = await a.mint()
    await written(a.gateway)
    await died(group, a)
    again = await started_again(group, a)
    changed = await b.gateway.keyring.revoke_key(key.record.key_id, WHY)
    assert changed.enforced is not None
    assert [name.partition(" (")[0] for name in changed.enforced.silent] == ["gateway a"]
    assert await again.status(key.secret) == 200  # which is why the other was told so
    a.line.mend()
    await until(lambda: again.gateway.cluster is not None and not again.gateway.reserve.fault)
    assert await again.status(key.secret) == 401


async def test_who_goes_back_joins_the_others_and_learns_what_they_changed(group: Cluster) -> None:
    a, b = await group.start("a"), await group.start("b")
    await add_tenant(a.gateway)
    key = await a.mint()
    await written(a.gateway)
    await died(group, a)
    again = await started_again(group, a)
    a.line.mend()
    await until(lambda: again.gateway.cluster is not None and not again.gateway.reserve.fault)
    cluster_ = again.gateway.cluster
    assert cluster_ is not None
    await until(lambda: cluster_.session is not None and _listens(cluster_.session))
    revoked = await b.gateway.keyring.revoke_key(key.record.key_id, WHY)
    assert await again.status(key.secret) == 401
    assert revoked.enforced is not None
    assert revoked.enforced.of == 3


def _listens(session: Any) -> bool:
    return session._connection is not None


async def test_a_snapshot_from_before_the_machine_was_started_is_worth_nothing(
    group: Cluster,
) -> None:
    a = await group.start("a")
    await add_tenant(a.gateway)
    moments: Any = a.gateway.reserve.moment
    moments._boot = "another"
    await written(a.gateway)
    await died(group, a)
    with pytest.raises(StoreUnavailable, match="before this machine was started"):
        await started_again(group, a)


async def test_who_leaves_in_good_order_leaves_no_snapshot_and_who_is_cut_off_both(
    group: Cluster,
) -> None:
    a, b = await group.start("a"), await group.start("b")
    await add_tenant(a.gateway)
    for each in (a, b):
        await written(each.gateway)
    b.line.end()
    await b.stop()
    assert snapshots(group, "b")
    assert a.gateway.cluster is not None
    assert {each.node.name for each in await a.gateway.cluster.report()} == {"a", "b"}
    await a.stop()
    assert not snapshots(group, "a")


async def test_who_cannot_remove_its_snapshot_is_waited_for_after_its_end(group: Cluster) -> None:
    a, b = await group.start("a"), await group.start("b")
    await written(a.gateway)
    keeper = a.gateway.reserve.keeper
    assert keeper is not None

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    keeper._files.drop = fail  # type: ignore[method-assign]
    await a.stop()
    assert b.gateway.cluster is not None
    assert {each.node.name for each in await b.gateway.cluster.report()} == {"a", "b"}


def snapshots(group: Cluster, name: str) -> list[Path]:
    return [*(group.folder / name / "data").glob("*.snapshot")]


async def test_who_denies_serves_from_memory_until_the_store_is_found_not_to_answer(
    group: Cluster,
) -> None:
    a = await group.start("a", on_failure={"keys": "deny"})
    await add_tenant(a.gateway)
    key = await a.mint()
    assert await a.status(key.secret) == 200
    assert a.gateway.lease is not None
    assert a.gateway.lease.until > uptime()
    a.line.end()
    await a.gateway.reserve.tend(a.gateway.store)
    assert await a.status(key.secret) == 503
    assert not snapshots(group, "a")


async def test_nothing_is_believed_for_longer_than_is_said(group: Cluster) -> None:
    a = await group.start("a", on_failure={"keys": {"max_age": "5s"}})
    assert a.gateway.lease is not None
    assert a.gateway.lease.until <= uptime() + 5
