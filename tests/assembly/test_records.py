from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.errors import CannotStart
from gateway.assembly.offline import open_offline
from gateway.config.reloading import ReloadRefused
from gateway.domain.change import Actor
from gateway.domain.queries import ANY_AUDIT, RequestQuery
from tests.assembly.serving import EDGE, ROUTES, add_tenant, ask, configured, mint, serving
from tests.config.sample import HEAD
from tests.key_samples import ORDER, a_tenant

ANN = Actor(kind="admin", name="ann", address="192.0.2.1")


def kept(folder: Path) -> list[str]:
    return [path.read_text() for path in (folder / "data" / "requests").iterdir()]


async def events(gateway: Any) -> list[str]:
    return [record.type for record in await gateway.audit.page(ANY_AUDIT)]


def metric(text: str, name: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"tollhouse_{name} ")]
    return float(line.split()[-1])


async def test_every_request_is_found_by_its_key_also_the_refused_ones(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
        assert (await ask(gateway.public_address, "/me")).status == 401
        assert (await ask(gateway.public_address, "/nothing", minted.secret)).status == 404
        await gateway.recorders.flush_requests()
        found = await gateway.request_log.search(RequestQuery(key_id=minted.record.key_id))
        assert [row["status"] for row in found.rows] == [200]
        found = await gateway.request_log.search(RequestQuery(status="401"))
        assert [row["reason"] for row in found.rows] == ["missing_credentials"]
        assert len((await gateway.request_log.search(RequestQuery())).rows) == 3
        [client] = await gateway.request_log.clients(minted.record.key_id, 0)
        assert client["requests"] == 1
    assert all(minted.secret not in text for text in kept(tmp_path))


async def test_what_happened_is_signed_and_survives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        await mint(gateway.keyring)
    assert all((tmp_path / f"audit.{kind}").is_file() for kind in ("key", "pub", "head"))
    async with serving(tmp_path) as gateway:
        report = await gateway.audit.verify()
        assert (report.records, report.signed_seq, report.fault) == (2, 2, None)
        await add_tenant(gateway, tenant_id="ten_b")
        assert (await gateway.audit.verify()).fault is None
        text = gateway.recorders.metrics.render("")[0].decode()
        assert metric(text, "audit_head_seq") == 3
        assert metric(text, "audit_intact") == 1
        assert 'tollhouse_audit_events_total{type="tenant.created"} 1.0' in text


async def test_a_trail_that_was_cut_while_nobody_looked_is_told_by_a_metric(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
    (tmp_path / "keys.db").unlink()
    async with serving(tmp_path) as gateway:
        assert metric(gateway.recorders.metrics.render("")[0].decode(), "audit_intact") == 0
        await add_tenant(gateway)  # and the gateway works on
        report = await gateway.audit.verify()
        assert report.fault is not None


async def test_reloads_are_in_the_trail_with_who_asked_and_what_changed(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        path = tmp_path / "config.yaml"
        path.write_text(HEAD + EDGE + ROUTES.replace("/me", "/you"))
        await gateway.reloads._reloader.reload("admin ann", actor=ANN)
        path.write_text("nonsense: 1\n")
        with pytest.raises(ReloadRefused):
            await gateway.reloads.reload("SIGHUP")
        applied, refused = await gateway.audit.page(ANY_AUDIT)
    assert (applied.type, applied.actor) == ("config.reloaded", "ann")
    assert applied.content()["after"]["generation"] == 2
    assert any("routes" in path for path in applied.content()["after"]["changed"])
    assert (refused.type, refused.actor) == ("config.reload_rejected", "SIGHUP")
    assert "problem" in refused.content()["after"]["why"]


async def test_old_records_leave_by_retention(tmp_path: Path) -> None:
    edge = EDGE + "audit: {retention: 1h, checkpoint_records: 1}\nrequest_log: {retention: 1h}\n"
    async with serving(tmp_path, edge=edge) as gateway:
        await add_tenant(gateway)
        await gateway.audit.verify()
        await gateway.records._prune()
        await gateway.records._remove_requests()
        assert await events(gateway) == ["tenant.created"]  # nothing is so old


async def test_what_commands_do_without_a_gateway_is_signed_too(tmp_path: Path) -> None:
    config = configured(tmp_path)
    async with open_offline(config, tmp_path / "config.yaml") as offline:
        await offline.keyring.tenants.create(a_tenant(), ORDER)
    async with open_offline(config, tmp_path / "config.yaml") as offline:
        report = await offline.audit.verify()
    assert (report.signed_seq, report.checkpoints, report.fault) == (1, 1, None)
    async with serving(tmp_path) as gateway:
        assert (await gateway.audit.verify()).fault is None


async def test_a_key_that_cannot_be_read_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    (tmp_path / "audit.key").write_text("not a key")
    with pytest.raises(CannotStart, match=r"audit\.key"):
        async with serving(tmp_path):
            raise AssertionError("it started")
