"""What the gateway goes without is told once when it begins and once when it ends, and no reason not to ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.gateway import Gateway
from gateway.ports import StoreUnavailable
from gateway.telemetry.geoip import GeoIpUnusable
from tests.assembly.serving import EDGE, ROUTES, add_tenant, ask, mint, serving
from tests.assembly.test_reserve import Down
from tests.assembly.test_returning import status


async def degraded(gateway: Gateway) -> dict[str, str]:
    await gateway.degradation.look()
    answer = await ask(gateway.metrics_address, "/readyz")
    assert answer.status == 200
    found: dict[str, str] = answer.json["degraded"]
    metrics = (await ask(gateway.metrics_address, "/metrics")).body.decode()
    for name, value in gateway.degradation.reading().items():
        assert f'tollhouse_degraded{{dependency="{name[0]}"}} {value}' in metrics
        assert bool(value) is (name[0] in found)
    return found


async def test_all_is_well_at_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        assert await degraded(gateway) == {}


async def test_what_is_missing_is_told_until_it_is_there_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as gateway:
        metrics = gateway.recorders.metrics
        gateway.usage.fault = gateway.usage.geoip_fault = gateway.reserve.fault = "broken"
        metrics.watch("alert_messages", lambda: {("ops", "waiting"): 2.0, ("ops", "dead"): 9.0})
        metrics.watch("config_last_reload_successful", lambda: 0)
        metrics.watch("limiter_up", lambda: 0)
        metrics.watch("request_log_up", lambda: 0)
        assert await degraded(gateway) == {
            "keys": "last_known_good",
            "limits": "local",
            "audit": "drop_and_count",
            "usage": "drop_and_count",
            "geoip": "last_known_good",
            "alerts": "drop_and_count",
            "config": "last_known_good",
        }
        await degraded(gateway)
        assert caplog.text.count("on_failure.usage applies (drop_and_count): broken") == 1
        assert "on_failure.alerts applies (drop_and_count): 2 messages wait" in caplog.text
        gateway.usage.fault = gateway.usage.geoip_fault = gateway.reserve.fault = ""
        for name in ("config_last_reload_successful", "limiter_up", "request_log_up"):
            metrics.watch(name, lambda: 1)
        metrics.watch("alert_messages", lambda: {("ops", "dead"): 9.0})
        assert await degraded(gateway) == {}
        assert caplog.text.count("on_failure.usage applies no longer, after") == 1


async def test_usage_that_cannot_be_written_waits_and_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        part: Any = gateway.usage.writer._store
        store = part._part
        part.fill(Down())
        assert await status(gateway, key) == 200
        with pytest.raises(StoreUnavailable):
            await gateway.usage._write()
        assert await degraded(gateway) == {"usage": "drop_and_count"}
        part.fill(store)
        await gateway.usage._write()
        assert await degraded(gateway) == {}


async def test_without_a_geoip_database_a_start_that_may_tells_of_no_countries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = ROUTES + "usage: {geoip_database: geo.mmdb}\non_failure: {geoip: drop_and_count}\n"
    (tmp_path / "geo.mmdb").write_bytes(b"none")
    async with serving(tmp_path, text) as gateway:
        assert "no countries are told until it can be read" in caplog.text
        assert await degraded(gateway) == {"geoip": "drop_and_count"}
        with pytest.raises(GeoIpUnusable):
            await gateway.usage._look()
        assert await degraded(gateway) == {"geoip": "drop_and_count"}


# ---- the request log


class Full:
    """A disk that takes nothing while it is full."""

    def __init__(self, gateway: Gateway) -> None:
        log: Any = gateway.recorders._request_log
        self._log = log
        self._try, log._try = log._try, lambda: None
        self.outlet = log.outlet
        self._write = self.outlet._write
        self.outlet._write = self

    def __call__(self, lines: object) -> None:
        raise OSError(28, "No space left on device")

    def end(self) -> None:
        self.outlet._write, self._log._try = self._write, self._try


LOGGED = EDGE + "request_log: {path: requests, flush: 20ms}\n"


async def test_who_must_not_serve_what_they_cannot_record_does_not(tmp_path: Path) -> None:
    text = ROUTES + "on_failure: {audit: deny}\n"
    async with serving(tmp_path, text, LOGGED) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        disk = Full(gateway)
        assert await status(gateway, key) == 200  # nobody knew
        await gateway.recorders.flush_requests()
        await gateway.here.look_at_door()
        refused = await ask(gateway.public_address, "/me", key.secret)
        assert refused.status == 503
        assert refused.fields["retry-after"] == "1"
        assert b"recording_unavailable" in refused.body
        assert await degraded(gateway) == {"audit": "deny"}
        disk.end()
        await gateway.recorders.flush_requests()
        await gateway.here.look_at_door()
        assert await status(gateway, key) == 200
        assert await degraded(gateway) == {}


async def test_others_serve_and_count(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, LOGGED) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        disk = Full(gateway)
        assert await status(gateway, key) == 200
        await gateway.recorders.flush_requests()
        await gateway.here.look_at_door()
        assert await status(gateway, key) == 200
        assert disk.outlet.dropped == 1
        assert await degraded(gateway) == {"audit": "drop_and_count"}


async def test_a_queue_that_is_half_full_closes_the_door_before_anything_is_lost(
    tmp_path: Path,
) -> None:
    text = ROUTES + "on_failure: {audit: deny}\n"
    edge = LOGGED.replace("flush: 20ms", "flush: 1h, lines_max: 4")
    async with serving(tmp_path, text, edge) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        for _ in range(2):
            assert await status(gateway, key) == 200
        await gateway.here.look_at_door()
        assert await status(gateway, key) == 503
        assert gateway.recorders._request_log is not None
        assert gateway.recorders._request_log.outlet.dropped == 0


async def test_a_reload_leaves_the_door_as_it_is(tmp_path: Path) -> None:
    text = ROUTES + "on_failure: {audit: deny}\n"
    async with serving(tmp_path, text, LOGGED) as gateway:
        await add_tenant(gateway)
        key = await mint(gateway.keyring)
        Full(gateway).outlet.is_failing = True
        await gateway.here.look_at_door()
        gateway.here.install(gateway.here.edition)
        assert await status(gateway, key) == 503
