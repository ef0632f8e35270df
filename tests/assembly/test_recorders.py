from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.assembly.access_logs import redactor
from gateway.assembly.recorders import Recorders
from gateway.config.model import Config
from gateway.domain.closing import Closed, Refused
from gateway.domain.streams import StreamKind
from gateway.limiters.memory import MemoryLimiter
from gateway.listeners.census import Census
from gateway.listeners.public import ListenerSettings
from gateway.listeners.streams import CAUSES, OpenStreams
from gateway.ports import StoreUnavailable
from gateway.stores.memory import MemoryStore
from gateway.stores.observed import ObservedStore
from tests.clock import FakeClock
from tests.config.sample import UPSTREAM, loaded
from tests.key_samples import a_key, a_tenant
from tests.pipeline.samples import TOKEN
from tests.telemetry.outcomes import make_key, make_outcome

CONFIG = (
    UPSTREAM + "plans: {pro: {rate: {per_minute: 300}}}\n"
    "routes: [{name: jobs, match: {path: /jobs}, upstream: u}]\n"
)
LOG = "telemetry: {access_log: {path: access.log}}\n"
SILENT = "telemetry: {access_log: {path: 'off'}}\nrequest_log: {path: 'off'}\n"


def made(config: Config, folder: Path, patience_seconds: float = 5) -> Recorders:
    return Recorders(config, folder / "config.yaml", FakeClock(), patience_seconds=patience_seconds)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def kept(folder: Path) -> list[str]:
    """Return the lines of the request log."""
    files = sorted((folder / "data" / "requests").iterdir())
    return [line for path in files for line in path.read_text().splitlines()]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def scraped(recorders: Recorders) -> str:
    return recorders.metrics.render("")[0].decode()


async def test_one_outcome_reaches_metrics_log_and_last_use(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + LOG), tmp_path)
    recorders.fanout.record(make_outcome(route="jobs", key=make_key("key_1"), policy="pro/minute"))
    await recorders.flush()
    (line,) = lines(tmp_path / "access.log")
    assert line["route"] == "jobs"
    assert list(recorders.last_used.drain()) == ["key_1"]
    assert "tollhouse_requests_total{" in scraped(recorders)
    assert 'route="jobs"' in scraped(recorders)
    await recorders.close()


async def test_the_access_log_is_redacted(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + LOG), tmp_path)
    outcome = make_outcome(target=f"/jobs?api_key={TOKEN}".encode(), user_agent=TOKEN.encode())
    recorders.fanout.record(outcome)
    await recorders.close()
    text = (tmp_path / "access.log").read_text()
    assert "/jobs" in text
    assert TOKEN[8:] not in text


def test_what_looks_like_a_key_of_any_declared_format_is_redacted(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "key_formats: {jobs: {prefix: jh, environments: [live]}, old: {prefix: sk, environments: [test]}}\n",
    )
    redacted = redactor(config)
    secret = "A" * 49
    for token in (f"jh_live_{secret}", f"sk_test_{secret}"):
        assert secret not in redacted.redact(f"before {token} after")


async def test_a_log_that_is_off_writes_nothing(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    recorders.fanout.record(make_outcome())
    await recorders.flush()
    recorders.reopen()
    await recorders.close()
    assert names(tmp_path) == ["config.yaml"]
    assert "tollhouse_requests_total" in scraped(recorders)


async def test_waiting_lines_are_written_at_the_end(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + LOG), tmp_path)
    recorders.fanout.record(make_outcome())
    await recorders.close()
    assert len(lines(tmp_path / "access.log")) == 1


async def test_after_log_rotation_lines_go_to_a_new_file(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + LOG), tmp_path)
    path = tmp_path / "access.log"
    recorders.fanout.record(make_outcome(request_id=b"req_old"))
    await recorders.flush()
    path.rename(tmp_path / "access.log.1")
    recorders.reopen()
    recorders.fanout.record(make_outcome(request_id=b"req_new"))
    await recorders.close()
    assert [line["request_id"] for line in lines(tmp_path / "access.log.1")] == ["req_old"]
    assert [line["request_id"] for line in lines(path)] == ["req_new"]


async def test_what_the_audit_trail_misses_is_counted_and_can_be_read(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG), tmp_path)
    assert "tollhouse_audit_dropped_total 0.0" in scraped(recorders)
    recorders.count_unaudited()
    assert "tollhouse_audit_dropped_total 1.0" in scraped(recorders)
    assert recorders.metrics.readings()["audit_dropped_total"] == {(): 1.0}
    await recorders.close()


async def test_a_log_that_is_full_drops_lines_and_counts_them(tmp_path: Path) -> None:
    text = CONFIG + "telemetry: {access_log: {path: access.log, lines_max: 2}}\n"
    recorders = made(loaded(tmp_path, text), tmp_path)
    for _ in range(5):
        recorders.fanout.record(make_outcome())
    await recorders.flush()
    assert "tollhouse_access_log_dropped_total 3.0" in scraped(recorders)
    assert "tollhouse_request_log_dropped_total 0.0" in scraped(recorders)
    await recorders.close()
    assert len(kept(tmp_path)) == 5  # each log has a queue of its own


async def test_every_request_is_kept_also_without_an_access_log(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT.split("\n")[0] + "\n"), tmp_path)
    recorders.fanout.record(make_outcome(target=f"/jobs?api_key={TOKEN}".encode()))
    await recorders.flush_requests()
    [line] = kept(tmp_path)
    assert TOKEN[8:] not in line
    recorders.fanout.record(make_outcome())
    await recorders.close()
    assert len(kept(tmp_path)) == 2


async def test_a_folder_for_requests_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(OSError, match="data"):
        made(loaded(tmp_path, CONFIG), tmp_path)


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    text = CONFIG + "telemetry: {access_log: {path: missing/access.log}}\n"
    with pytest.raises(OSError, match=r"missing/access\.log"):
        made(loaded(tmp_path, text), tmp_path)


async def test_a_log_that_is_stuck_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    text = CONFIG + "telemetry: {access_log: {path: pipe, lines_max: 10000}}\n"
    recorders = made(loaded(tmp_path, text), tmp_path, patience_seconds=0.05)
    for _ in range(2000):
        recorders.fanout.record(make_outcome(target=b"/" + b"x" * 500))
    await recorders.close()
    os.close(reader)  # whoever still writes gets an error and ends


async def test_the_standard_output_is_no_file_to_close(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG), tmp_path)
    await recorders.close()
    os.fstat(1)


async def test_the_names_that_may_become_labels_come_from_the_configuration(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    recorders.fanout.record(make_outcome(route="jobs", upstream="u", policy="pro/minute"))
    recorders.fanout.record(make_outcome(route="invented", upstream="invented", policy="invented"))
    text = scraped(recorders)
    assert 'policy="pro/minute"' in text
    assert 'upstream="u"' in text
    assert "invented" not in text


async def test_the_metrics_are_named_as_configured(tmp_path: Path) -> None:
    text = CONFIG + "telemetry: {namespace: edge, access_log: {path: 'off'}}\n"
    recorders = made(loaded(tmp_path, text), tmp_path)
    assert "edge_requests_total" in scraped(recorders)
    assert "tollhouse_" not in scraped(recorders)


async def test_keys_are_counted_by_state_and_environment(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    store = MemoryStore()
    await store.save_tenant(a_tenant())
    await store.save_key(a_key("key_a"))
    await store.save_key(a_key("key_b"))
    await recorders.count_keys(store)
    assert 'tollhouse_keys{environment="live",state="active"} 2.0' in scraped(recorders) or (
        'tollhouse_keys{state="active",environment="live"} 2.0' in scraped(recorders)
    )


class Gone(MemoryStore):
    """A store that may be away."""

    is_gone = False

    async def revision(self) -> int:
        if self.is_gone:
            raise StoreUnavailable("gone")
        return await super().revision()


async def test_the_store_is_watched(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    kept = Gone()
    store = ObservedStore(kept, FakeClock(), recorders.store_operation)
    recorders.watch_store(store)
    await store.revision()
    assert "tollhouse_store_up 1.0" in scraped(recorders)
    assert 'op="revision"' in scraped(recorders)
    kept.is_gone = True
    with pytest.raises(StoreUnavailable):
        await store.revision()
    assert "tollhouse_store_up 0.0" in scraped(recorders)


async def test_the_listener_is_watched(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    census = Census(lambda: 0.0, ipv6_prefix=64)
    census.refused[Refused.PER_ADDRESS_MAX] = 4
    census.closed[Closed.BODY_RATE] = 6
    listener: Any = SimpleNamespace(
        connections=5,
        in_flight=3,
        census=census,
        settings=ListenerSettings(connections_max=99),
    )
    recorders.watch_listeners([listener])
    text = scraped(recorders)
    assert "tollhouse_connections 5.0" in text
    assert "tollhouse_in_flight_requests 3.0" in text
    assert "tollhouse_connections_max 99.0" in text
    for name, causes in (("refused", Refused), ("closed", Closed)):
        for cause in causes:  # from the start, so that a rate can be taken
            assert f'tollhouse_connections_{name}_total{{cause="{cause.value}"}}' in text
    assert 'tollhouse_connections_refused_total{cause="connections_per_address_max"} 4.0' in text
    assert 'tollhouse_connections_closed_total{cause="body_rate"} 6.0' in text


async def test_streams_are_watched(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    recorders.watch_streams(OpenStreams(FakeClock()))
    text = scraped(recorders)
    for kind in StreamKind:
        assert f'tollhouse_open_streams{{kind="{kind}"}} 0.0' in text
    for cause in CAUSES:
        assert f'tollhouse_streams_closed_total{{cause="{cause}"}} 0.0' in text


async def test_the_limiter_is_watched(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    limiter = MemoryLimiter(FakeClock())
    recorders.watch_limiter(lambda: limiter.forgotten_early)
    assert "tollhouse_ratelimit_buckets_forgotten_total 0.0" in scraped(recorders)
    limiter.forgotten_early = 3
    assert "tollhouse_ratelimit_buckets_forgotten_total 3.0" in scraped(recorders)


async def test_the_lag_of_the_loop_is_observed_while_started(tmp_path: Path) -> None:
    recorders = made(loaded(tmp_path, CONFIG + SILENT), tmp_path)
    recorders.lag._tick()
    recorders.lag.stop()
    assert "tollhouse_event_loop_lag_seconds_count 1.0" in scraped(recorders)
