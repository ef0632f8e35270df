"""Everything that is told about finished requests, and what the metrics read from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway import __version__
from gateway.assembly.access_logs import (
    OFF,
    OpenLog,
    OpenRequestLog,
    policy_names,
    redactor,
)
from gateway.assembly.tracing import OpenTraces, Tracing
from gateway.assembly.visitors import visitor_rules
from gateway.assembly.writer import PATIENCE_SECONDS
from gateway.config import model
from gateway.domain.outcome import Outcome
from gateway.listeners.public import PublicListener
from gateway.listeners.streams import OpenStreams
from gateway.ports import Clock, KeyStore, Recorder
from gateway.stores.observed import ObservedFinder
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.fanout import Fanout
from gateway.telemetry.label_values import SHADOW_DENIED
from gateway.telemetry.last_used import LastUsed
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.readings import EXEMPLARS
from gateway.telemetry.rows import Rows
from gateway.telemetry.usage import UsageRecorder
from gateway.telemetry.usage_visitors import Visitors
from gateway.upstreams.readings import READINGS
from gateway.upstreams.service import Service

if TYPE_CHECKING:  # it brings the keyring, which workers do without
    from gateway.keyring.survey import Survey

C = TypeVar("C", bound=StrEnum)


class Recorders:
    """Metrics, usage, access log, request log and last use, under one `Recorder`; and traces."""

    def __init__(
        self,
        config: model.Config,
        config_path: Path,
        clock: Clock,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        rows: Rows | None = None,
    ) -> None:
        """Count in `rows`, which another process reads; without, in memory of our own."""
        section = config.telemetry
        self._config_path = config_path
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._config = config
        self._dropped_before = 0  # by access logs that were replaced
        self.metrics = Metrics(
            namespace=section.namespace,
            version=__version__,
            series_budget=section.series_budget,
            rows=rows,
        )
        self.last_used = LastUsed(clock)
        self.tracing = Tracing(clock)
        self.metrics.watch("traced_requests_total", self.tracing.counts)
        self.metrics.watch(EXEMPLARS.name, self.tracing.exemplars.read)
        self._visitors = Visitors(visitor_rules(config), visitors_max=config.usage.counts_max)
        self.usage = UsageRecorder(clock, self._visitors, counts_max=config.usage.counts_max)
        recorders: dict[str, Recorder] = {
            "metrics": self.metrics,
            "usage": self.usage,
            "last_used": self.last_used,
        }
        self.fanout = Fanout(recorders, clock)
        self._log: OpenLog | None = None
        self._request_log: OpenRequestLog | None = None
        self.metrics.watch("recorder_errors_total", self.fanout.faults)
        self.metrics.watch("access_log_dropped_total", self._dropped)
        self._unaudited = 0
        self.metrics.watch("audit_dropped_total", lambda: self._unaudited)
        self.metrics.watch("usage_folded_total", lambda: self.usage.folded)
        self._key_counts: Mapping[tuple[str, ...], float] = {}
        self.metrics.watch("keys", lambda: self._key_counts)
        loop = asyncio.get_running_loop()
        self.lag = LoopLag(
            lambda seconds: self.metrics.observe("event_loop_lag_seconds", seconds),
            loop,
        )
        self.metrics.watch("event_loop_tasks", lambda: len(asyncio.all_tasks(loop)))
        self.lines = AccessLog(redactor=redactor(config), clock=clock, call_soon=loop.call_soon)
        if config.request_log.path != OFF:
            request_log = OpenRequestLog(config, config_path, clock, patience_seconds)
            self._request_log = request_log
            self.metrics.watch("request_log_dropped_total", lambda: request_log.outlet.dropped)
            self.metrics.watch("request_log_up", lambda: int(self.can_record()))
        self.tracing.follow(self.open_traces(config))
        self._take_log(self.open_log(config))
        self._declare(config)

    # ---- the configuration

    def open_log(self, config: model.Config) -> OpenLog | None:
        """Return the access log that `config` wants, opened: the present one when that serves. Raises `OSError`."""
        section = config.telemetry.access_log
        if section.path == OFF:
            return None
        if self._log is not None and section == self._config.telemetry.access_log:
            return self._log
        return OpenLog(section, self._config_path, self._clock, self._patience_seconds)

    def open_traces(self, config: model.Config) -> OpenTraces | None:
        """Return what exports the traces of `config`: the present one when that serves. Raises `CannotStart`."""
        section, present = config.telemetry.traces, self.tracing.open
        if not section.endpoint:
            return None
        if present is not None and section == self._config.telemetry.traces:
            return present
        return OpenTraces(config, self._config_path, self._clock, self._patience_seconds)

    def follow(self, config: model.Config, log: OpenLog | None) -> OpenLog | None:
        """Follow a changed configuration from the next outcome on; return the access log that was replaced, open."""
        before, self._config = self._config, config
        self._declare(config)
        replaced = self._log if self._log is not log else None
        self.lines.render()  # what is queued belongs to the log that leaves
        if replaced is not None:
            self._dropped_before += replaced.outlet.dropped
        self._take_log(log)
        self.lines.redact_with(redactor(config, before))
        if self.tracing.open is not None:
            self.tracing.open.redact_like(config, before)
        self.usage.counts_max = config.usage.counts_max
        self._visitors.follow(visitor_rules(config, before), config.usage.counts_max)
        return replaced

    def _take_log(self, log: OpenLog | None) -> None:
        self._log = log
        self.lines.outlets = tuple(each.outlet for each in (log, self._request_log) if each)
        self.fanout.put("access_log", self.lines if self.lines.outlets else None)

    def _declare(self, config: model.Config) -> None:
        self.metrics.declare(
            routes=[route.name for route in config.routes],
            upstreams=config.upstreams,
            policies=policy_names(config),
        )

    def _dropped(self) -> int:
        return self._dropped_before + (0 if self._log is None else self._log.outlet.dropped)

    def can_record(self) -> bool:
        """Tell whether requests can be recorded in the request log; where none is kept, nothing can be missing."""
        return self._request_log is None or self._request_log.outlet.takes

    def shadowed(self, outcome: Outcome) -> None:
        """Count what rules in shadow mode would have refused, as soon as it is known."""
        for finding in outcome.shadow:
            self.metrics.count("shadow_denials_total", finding.kind.value, outcome.route_name)
            if finding.policy:
                self.metrics.count("ratelimit_decisions_total", finding.policy, SHADOW_DENIED)

    # ---- what is measured elsewhere

    def count_unaudited(self) -> None:
        """Take note of a record that the audit trail misses because the store did not answer."""
        self._unaudited += 1

    def store_operation(self, operation: str, seconds: float) -> None:
        """Take note of one operation of the key store."""
        self.metrics.observe("store_operation_duration_seconds", seconds, operation)

    def watch_store(self, store: ObservedFinder) -> None:
        """Let the metrics read whether the store answers, and takes what is written."""
        self.metrics.watch("store_up", lambda: int(store.is_whole))

    def watch_listeners(self, listeners: Sequence[PublicListener]) -> None:
        """Let the metrics read the gauges of all listeners of ours together."""
        self.metrics.watch("connections", lambda: sum(each.connections for each in listeners))
        self.metrics.watch(
            "connections_max", lambda: sum(each.settings.connections_max for each in listeners)
        )
        self.metrics.watch(
            "connections_refused_total",
            lambda: _by_cause(each.census.refused for each in listeners),
        )
        self.metrics.watch(
            "connections_closed_total",
            lambda: _by_cause(each.census.closed for each in listeners),
        )
        self.metrics.watch("in_flight_requests", lambda: sum(each.in_flight for each in listeners))

    def watch_streams(self, streams: OpenStreams) -> None:
        """Let the metrics read what is open, and what was cut."""
        self.metrics.watch("open_streams", streams.counts)
        self.metrics.watch("streams_closed_total", streams.closed)

    def retried(self, upstream: str) -> None:
        """Take note that a request to `upstream` failed and is sent to another target."""
        self.metrics.count("upstream_requests_total", upstream, "retried")

    def watch_upstreams(self, services: Callable[[], Iterable[Service]]) -> None:
        """Let the metrics read the state of the upstreams that run at the moment."""
        for name, read in READINGS.items():
            self.metrics.watch(name, partial(read, services))

    def watch_limiter(self, forgotten: Callable[[], int]) -> None:
        """Let the metrics read what the limiter had to forget."""
        self.metrics.watch("ratelimit_buckets_forgotten_total", forgotten)

    async def count_keys(self, store: KeyStore) -> None:
        """Refresh the gauge of keys by state and environment."""
        self._key_counts = {
            pair: float(count) for pair, count in (await store.count_keys()).items()
        }

    def watch_keys(self, survey: Survey) -> None:
        """Let the metrics read what is due about keys."""
        self.metrics.watch(
            "keys_expiring", lambda: {(name,): float(n) for name, n in survey.expiring.items()}
        )
        self.metrics.watch(
            "key_expiry_timestamp_seconds",
            lambda: {(key_id,): at for key_id, at in survey.expiries.items()},
        )
        self.metrics.watch("keys_rotation_overdue", lambda: survey.overdue)

    # ---- the logs of requests

    @property
    def log(self) -> OpenLog | None:
        """The access log that is being written."""
        return self._log

    async def flush(self) -> None:
        """Write the waiting access log lines. Raises `TimeoutError` while the sink is stuck."""
        self.lines.render()
        if self._log is not None:
            await self._log.flush()

    async def flush_requests(self) -> None:
        """Write what waits for the request log. Raises `TimeoutError` while the disk is stuck."""
        self.lines.render()
        if self._request_log is not None:
            await self._request_log.flush()

    async def flush_traces(self) -> None:
        """Export the waiting traces. Raises `TimeoutError` while the collector is slow."""
        if self.tracing.open is not None:
            await self.tracing.open.flush()

    def reopen(self) -> None:
        """Go on in a new file after log rotation."""
        if self._log is not None:
            self._log.reopen()

    async def close(self) -> None:
        """Write what is left and close the files. A sink that is stuck is left behind."""
        self.lines.render()
        if self._log is not None:
            await self._log.close()
        if self._request_log is not None:
            await self._request_log.close()
        if self.tracing.open is not None:
            await self.tracing.open.close()


def _by_cause(counts: Iterable[Mapping[C, int]]) -> dict[tuple[str, ...], float]:
    total: dict[tuple[str, ...], float] = {}
    for each in counts:
        for cause, count in each.items():
            total[(cause.value,)] = total.get((cause.value,), 0.0) + count
    return total
