"""What gateways count and find together: usage of all of them, and each alert once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.alerts import AlertQuery
from gateway.domain.queries import AuditQuery
from gateway.domain.usage import UsageQuery
from tests.alerts.channels.receiver import Receiver, receiving
from tests.assembly.cluster import Cluster, Member, cluster
from tests.assembly.serving import add_tenant, ask
from tests.assembly.test_alerting import SECRET, becomes
from tests.postgres import fresh
from tests.postgres import postgres as postgres
from tests.wire import until


@pytest.fixture
async def group(tmp_path: Path, postgres: str) -> AsyncIterator[Cluster]:
    async with fresh(postgres) as url, cluster(tmp_path, url) as found:
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def pair(group: Cluster, url: str) -> tuple[Member, Member]:
    """Return the gateway that leads and another one; both would tell a receiver at `url`."""
    told: dict[str, Any] = {
        "channels": {"ops": {"webhook": {"url": url, "secret": SECRET}, "every": "100ms"}},
        "alerts": {
            "every": "50ms",
            "channels": ["ops"],
            "rules": {"GatewayConfigReloadFailed": {"resolve_after": "0s"}},
        },
    }
    a, b = await group.start("a", **told), await group.start("b", **told)
    await add_tenant(a.gateway)
    await until(lambda: a.gateway.leads is not b.gateway.leads)
    return (a, b) if a.gateway.leads else (b, a)


def alerts_of(receiver: Receiver) -> list[tuple[str, str]]:
    """Return what happened to which subject."""
    return [
        (each["event"], each["subject"])
        for body in receiver.bodies
        for each in json.loads(body)["alerts"]
    ]


async def stored(member: Member) -> list[tuple[str, str, str]]:
    page = await member.gateway.alerting.desk.page(AlertQuery(), before=0, limit=100)
    return [(each.rule, each.subject, each.state.value) for each in page.alerts]


async def break_configuration(member: Member) -> None:
    (member.gateway.config_path).write_text("version: 1\nnonsense: 1\n")
    with pytest.raises(Exception, match="problem"):
        await member.gateway.reloads.reload("test")


async def use_in_a_browser(member: Member) -> None:
    secret = (await member.mint()).secret
    origin = "Origin: https://app.example"
    answer = await ask(member.gateway.public_address, "/me", secret, origin)
    assert answer.status == 200


async def test_usage_of_all_gateways_is_told_by_each(group: Cluster) -> None:
    a, b = await group.start("a"), await group.start("b")
    await add_tenant(a.gateway)
    minted = await a.mint()
    for member in (a, b, b):
        assert await member.status(minted.secret) == 200
    query = UsageQuery(since=0.0, until=time.time() + 1e6, group_by=("key",))

    async def told(member: Member) -> list[tuple[str | None, int]]:
        rows = await member.gateway.usage.kept.store.cells(query)
        return [(row.key_id, row.measures.requests) for row in rows]

    async with asyncio.timeout(10):
        for member in (a, b):
            while await told(member) != [(minted.record.key_id, 3)]:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)


async def test_what_a_key_does_at_any_gateway_is_told_once_and_sealed_on_the_shared_trail(
    group: Cluster, receiver: Receiver
) -> None:
    _, other = await pair(group, receiver.url)
    await use_in_a_browser(other)
    await becomes(lambda: alerts_of(receiver) != [])
    assert await stored(other) == [("ApiKeyClientSideUse", "", "firing")]
    looked_at = other.gateway.alerting.evaluator.looked_at
    await until(lambda: other.gateway.alerting.evaluator.looked_at > looked_at)
    assert alerts_of(receiver) == [("fired", "")]
    report = await other.gateway.audit.verify()
    assert report.fault is None
    told = await other.gateway.audit.page(AuditQuery(type="alert.fired"))
    assert len(told) == 1


async def test_a_gateway_that_does_not_lead_is_told_of_by_the_one_that_does(
    group: Cluster, receiver: Receiver
) -> None:
    leader, other = await pair(group, receiver.url)
    name = other.gateway.own.name
    await break_configuration(other)
    await becomes(lambda: ("fired", name) in alerts_of(receiver))
    assert await stored(leader) == [("GatewayConfigReloadFailed", name, "firing")]
    assert leader.gateway.alerting.evaluator.firing["GatewayConfigReloadFailed"] == 0
    assert other.gateway.alerting.evaluator.firing["GatewayConfigReloadFailed"] == 1


async def test_when_the_one_that_leads_ends_another_one_tells_and_ends_its_alerts(
    group: Cluster, receiver: Receiver
) -> None:
    leader, other = await pair(group, receiver.url)
    gone = leader.gateway.own.name
    await break_configuration(leader)
    await becomes(lambda: ("fired", gone) in alerts_of(receiver))
    await leader.stop()
    await until(lambda: other.gateway.leads)
    await use_in_a_browser(other)
    await becomes(lambda: ("fired", "") in alerts_of(receiver))
    await becomes(lambda: ("resolved", gone) in alerts_of(receiver))
