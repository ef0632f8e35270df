"""The configuration from before is taken again: at once, until the files change, and on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.assembly.gateway import Gateway
from gateway.config.reloading import ReloadRefused
from gateway.domain.change import Actor, Order
from gateway.domain.queries import AuditQuery
from gateway.ports import Conflict
from tests.assembly.serving import EDGE, ask
from tests.assembly.test_reload import generation_is, metrics_of, reload, serving
from tests.config.sample import HEAD, write

ONE = "routes: [{name: one, match: {path: /one}, handler: introspect}]\n"
TWO = "routes: [{name: two, match: {path: /two}, handler: introspect}]\n"
BACK = Order(actor=Actor(kind="admin", name="ann"), reason="orders fail")


async def statuses(gateway: Gateway) -> tuple[int, int]:
    """Return what `/one` and `/two` are answered with: 401 where there is a route, 404 where there is none."""
    one = await ask(gateway.public_address, "/one")
    two = await ask(gateway.public_address, "/two")
    return one.status, two.status


async def rolled_back(gateway: Gateway) -> str:
    [line] = [
        line
        for line in (await metrics_of(gateway)).splitlines()
        if line.startswith("tollhouse_config_rolled_back ")
    ]
    return line.split()[1]


async def test_the_former_configuration_is_in_force_again_as_a_new_generation(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, ONE) as gateway:
        before = await statuses(gateway)
        await reload(gateway, TWO)
        assert (await statuses(gateway)) != before
        done = await gateway.reloads.roll_back(BACK)
        assert (done.generation, done.again) == (3, 1)
        assert [change.path for change in done.changes] == ["routes[two]", "routes[one]"]
        assert await statuses(gateway) == before
        assert gateway.number == 3


async def test_rolling_back_again_takes_the_newer_one(tmp_path: Path) -> None:
    async with serving(tmp_path, ONE) as gateway:
        await reload(gateway, TWO)
        newer = await statuses(gateway)
        assert await rolled_back(gateway) == "0.0"
        await gateway.reloads.roll_back(BACK)
        assert await rolled_back(gateway) == "1.0"
        assert (await gateway.reloads.roll_back(BACK)).again == 2
        assert await statuses(gateway) == newer
        assert await rolled_back(gateway) == "0.0"


async def test_it_holds_against_the_file_as_it_is_and_ends_when_that_changes(
    tmp_path: Path,
) -> None:
    text = "reload: {poll: 20ms}\n"
    async with serving(tmp_path, ONE + text) as gateway:
        write(tmp_path, HEAD + EDGE + TWO + text)
        await generation_is(gateway, 2)
        await gateway.reloads.roll_back(BACK)
        write(tmp_path, HEAD + EDGE + TWO + text)  # nothing that is new
        assert gateway.number == 3
        write(tmp_path, HEAD + EDGE + TWO + text + "# corrected\n")
        await generation_is(gateway, 4)
        assert await rolled_back(gateway) == "0.0"


async def test_who_rolled_back_and_why_is_audited_and_counted(tmp_path: Path) -> None:
    async with serving(tmp_path, ONE) as gateway:
        await reload(gateway, TWO)
        await gateway.reloads.roll_back(BACK)
        [record] = await gateway.audit.page(AuditQuery(type="config.rolled_back"))
        content = record.content()
        assert (record.actor, content["reason"]) == ("ann", "orders fail")
        assert content["after"]["again"] == 1
        assert content["after"]["changed"] == ["routes[two]", "routes[one]"]
        text = await metrics_of(gateway)
        assert 'tollhouse_config_reloads_total{result="rolled_back"} 1.0' in text


async def test_without_a_change_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    async with serving(tmp_path, ONE) as gateway:
        for _ in range(2):
            with pytest.raises(Conflict, match="no other configuration"):
                await gateway.reloads.roll_back(BACK)
            await reload(gateway, ONE)  # which is the same


async def test_a_dry_run_takes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, ONE) as gateway:
        await reload(gateway, TWO)
        newer = await statuses(gateway)
        tried = Order(actor=BACK.actor, reason="x", is_dry_run=True)
        found = await gateway.reloads.roll_back(tried)
        assert (found.generation, found.again, len(found.changes)) == (2, 1, 2)
        assert await statuses(gateway) == newer


async def test_a_former_configuration_that_cannot_be_taken_any_more_leaves_the_present_one(
    tmp_path: Path,
) -> None:
    log = "telemetry: {access_log: {path: logs/access.log}}\n"
    edge = EDGE.replace("telemetry: {access_log: {path: 'off'}}\n", log)
    (tmp_path / "logs").mkdir()
    async with serving(tmp_path, ONE, edge) as gateway:
        await reload(gateway, TWO)
        newer = await statuses(gateway)
        for path in (tmp_path / "logs").iterdir():
            path.unlink()
        (tmp_path / "logs").rmdir()
        with pytest.raises(ReloadRefused):
            await gateway.reloads.roll_back(BACK)
        assert await statuses(gateway) == newer
        types = [record.type for record in await gateway.audit.page(AuditQuery(type="config.*"))]
        assert types[-1] == "config.reload_rejected"
