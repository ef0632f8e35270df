"""Everything that is told about finished requests, and what the metrics read from elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path

from gateway import __version__
from gateway.assembly import policy
from gateway.assembly.writer import PATIENCE_SECONDS, Writer
from gateway.config import model
from gateway.config.load import anchored
from gateway.domain.redaction import Redactor
from gateway.limiters.memory import MemoryLimiter
from gateway.listeners.public import PublicListener
from gateway.listeners.streams import OpenStreams
from gateway.ports import Clock, KeyStore, Recorder
from gateway.stores.observed import ObservedStore
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.fanout import Fanout
from gateway.telemetry.last_used import LastUsed
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sink import STDOUT, Sink
from gateway.upstreams.readings import READINGS
from gateway.upstreams.service import Service

_log = logging.getLogger(__name__)


def redactor(config: model.Config) -> Redactor:
    """Return what removes anything that looks like one of our keys from a text."""
    return Redactor(
        (section.prefix, section.environments) for section in config.key_formats.values()
    )


class Recorders:
    """Metrics, access log and last use, under one `Recorder`."""

    def __init__(
        self,
        config: model.Config,
        config_path: Path,
        clock: Clock,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        section = config.telemetry
        log = section.access_log
        self.metrics = Metrics(
            namespace=section.namespace,
            version=__version__,
            routes=[route.name for route in config.routes],
            upstreams=list(config.upstreams),
            policies=[
                f"{plan.name}/{rule.name}"
                for plan in policy.plans(config).values()
                for rule in plan.rules
            ],
            series_budget=section.series_budget,
        )
        self.last_used = LastUsed()
        self.flush_seconds = log.flush
        self._sink: Sink | None = None
        self._access_log: AccessLog | None = None
        self._writer: Writer | None = None
        recorders: dict[str, Recorder] = {"metrics": self.metrics, "last_used": self.last_used}
        if log.path != "off":
            path = STDOUT if log.path == "-" else str(anchored(config_path, log.path))
            self._sink = Sink(path)
            self._access_log = AccessLog(
                self._sink.write, redactor=redactor(config), clock=clock, queue_max=log.lines_max
            )
            self._writer = Writer(self._access_log, patience_seconds)
            recorders["access_log"] = self._access_log
            self.metrics.watch("access_log_dropped_total", self._dropped)
        self.fanout = Fanout(recorders, clock)
        self.metrics.watch("recorder_errors_total", self.fanout.faults)
        started_at = clock.now()
        self.metrics.watch("config_generation", lambda: 1)
        self.metrics.watch("config_last_reload_successful", lambda: 1)
        self.metrics.watch("config_last_reload_success_timestamp_seconds", lambda: started_at)
        self._key_counts: Mapping[tuple[str, ...], float] = {}
        self.metrics.watch("keys", lambda: self._key_counts)
        self.lag = LoopLag(
            lambda seconds: self.metrics.observe("event_loop_lag_seconds", seconds),
            asyncio.get_running_loop(),
        )

    def _dropped(self) -> int:
        return 0 if self._access_log is None else self._access_log.dropped

    def store_operation(self, operation: str, seconds: float) -> None:
        """Take note of one operation of the key store."""
        self.metrics.observe("store_operation_duration_seconds", seconds, operation)

    def watch_store(self, store: ObservedStore) -> None:
        """Let the metrics read whether the store answers."""
        self.metrics.watch("store_up", lambda: int(store.is_up))

    def watch_listener(self, listener: PublicListener) -> None:
        """Let the metrics read the listener's gauges."""
        self.metrics.watch("connections", lambda: listener.connections)
        self.metrics.watch("connections_max", lambda: listener.settings.connections_max)
        self.metrics.watch(
            "connections_refused_total", lambda: _by_cause(listener.census.refused.items())
        )
        self.metrics.watch(
            "connections_closed_total", lambda: _by_cause(listener.census.closed.items())
        )
        self.metrics.watch("in_flight_requests", lambda: listener.in_flight)

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

    def watch_limiter(self, limiter: MemoryLimiter) -> None:
        """Let the metrics read what the limiter had to forget."""
        self.metrics.watch("ratelimit_buckets_forgotten_total", lambda: limiter.forgotten_early)

    async def count_keys(self, store: KeyStore) -> None:
        """Refresh the gauge of keys by state and environment."""
        self._key_counts = {
            pair: float(count) for pair, count in (await store.count_keys()).items()
        }

    async def flush(self) -> None:
        """Write the waiting access log lines. Raises `TimeoutError` while the sink is stuck."""
        if self._writer is not None:
            await self._writer.flush()

    def reopen(self) -> None:
        """Go on in a new file after log rotation."""
        if self._sink is not None:
            self._sink.reopen()

    async def close(self) -> None:
        """Write what is left and close the file. A sink that is stuck is left behind."""
        try:
            await self.flush()
        except TimeoutError:
            _log.error("the access log is stuck: its last lines are lost")
        else:
            if self._sink is not None:
                self._sink.close()


def _by_cause(counts: Iterable[tuple[StrEnum, int]]) -> dict[tuple[str, ...], float]:
    return {(cause.value,): float(count) for cause, count in counts}
