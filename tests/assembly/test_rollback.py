"""The configuration from before is taken again: at once, until the files change, and on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.assembly.gateway import Gateway, opened
from gateway.config.history import History
from gateway.config.load import read
from gateway.config.reloading import ReloadRefused
from gateway.domain.change import Actor, Order
from gateway.domain.queries import AuditQuery
from gateway.ports import Conflict
from tests.assembly.serving import EDGE, ask
from tests.assembly.test_reload import generation_is, metrics_of, reload, serving
from tests.config.sample import HEAD, PEPPER, write

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


# ---- after a restart

NAMED = "version: 1\npeppers: {current: p1, p1: '${file:pepper}'}\n"


@asynccontextmanager
async def begun(folder: Path, text: str, head: str = NAMED) -> AsyncIterator[Gateway]:
    """Run a gateway as `tollhouse run` does, whose configuration is kept by then."""
    write(folder, PEPPER, "pepper")
    path = write(folder, head + EDGE + text)
    loaded = read(path, {})
    assert loaded.config is not None, loaded.problems
    async with opened(loaded.config, path, sources=loaded.sources, texts=loaded.texts) as gateway:
        yield gateway


def histories_in(folder: Path) -> list[Path]:
    return list(folder.rglob("config.yaml.history"))


def history_of(folder: Path) -> History:
    [path] = histories_in(folder)
    return History(path)


def kept(folder: Path) -> int:
    return len(history_of(folder).kept())


async def test_a_restart_does_not_take_the_way_back(tmp_path: Path) -> None:
    async with begun(tmp_path, ONE) as gateway:
        before = await statuses(gateway)
        assert kept(tmp_path) == 1
        await reload(gateway, TWO, head=NAMED)
        first, second = history_of(tmp_path).kept()
        assert (first.taken_at > 0, second.taken_at >= first.taken_at) == (True, True)
    assert PEPPER not in history_of(tmp_path).path.read_text()
    async with begun(tmp_path, TWO) as gateway:
        tried = await gateway.reloads.roll_back(
            Order(actor=BACK.actor, reason="x", is_dry_run=True)
        )
        assert (tried.generation, tried.version) == (1, first.texts.version)
        done = await gateway.reloads.roll_back(BACK)
        assert (done.generation, done.again) == (2, 0)
        assert (done.version, done.taken_at) == (first.texts.version, first.taken_at)
        assert await statuses(gateway) == before
        assert await rolled_back(gateway) == "1.0"
        [record] = await gateway.audit.page(AuditQuery(type="config.rolled_back"))
        assert record.content()["after"]["version"] == first.texts.version
        again = await gateway.reloads.roll_back(BACK)
        assert (again.again, again.version) == (1, second.texts.version)


async def test_a_text_in_which_a_secret_stands_is_not_kept_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with begun(tmp_path, ONE, head=HEAD):
        assert "is not kept" in caplog.text
    assert "peppers.p1" in caplog.text
    assert PEPPER not in caplog.text
    assert not histories_in(tmp_path)


async def test_a_kept_configuration_that_cannot_be_used_any_more_is_refused_with_its_mistakes(
    tmp_path: Path,
) -> None:
    async with begun(tmp_path, ONE) as gateway:
        assert kept(tmp_path) == 1
        history = history_of(tmp_path)
    text = history.path.read_text().replace("introspect", "nothing")
    history.path.write_text(text)
    async with begun(tmp_path, TWO) as gateway:
        assert kept(tmp_path) == 2
        with pytest.raises(ReloadRefused) as caught:
            await gateway.reloads.roll_back(BACK)
        assert any("handler" in str(problem) for problem in caught.value.problems)
        assert gateway.number == 1


async def test_a_change_of_comments_takes_the_place_of_what_means_the_same(tmp_path: Path) -> None:
    async with begun(tmp_path, ONE) as gateway:
        assert kept(tmp_path) == 1
        await reload(gateway, ONE + "# a word\n", head=NAMED)
        [only] = history_of(tmp_path).kept()
        assert only.texts.files["config.yaml"].endswith("# a word\n")
        with pytest.raises(Conflict, match="none from before it is kept"):
            await gateway.reloads.roll_back(BACK)


async def test_a_disk_that_fails_costs_the_way_back_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with begun(tmp_path, ONE) as gateway:
        assert kept(tmp_path) == 1
        path = history_of(tmp_path).path
        path.unlink()
        path.mkdir()
        await reload(gateway, TWO, head=NAMED)
        assert gateway.number == 2
        assert "is not kept" in caplog.text
