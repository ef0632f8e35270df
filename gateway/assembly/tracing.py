"""Traces as configured: who is sampled, what waits to be exported, and who exports it.

Knows that the library for it is an extra, and which part of the configuration belongs to it. It must not know what a
span says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.assembly.access_logs import redactor
from gateway.assembly.errors import CannotStart
from gateway.assembly.writer import Writer
from gateway.config import model
from gateway.config.places import anchored
from gateway.domain.outcome import Outcome
from gateway.domain.trace_context import Sampler, Spans
from gateway.ports import Clock
from gateway.telemetry.exemplars import Exemplars
from gateway.telemetry.spans import SpanWriter
from gateway.telemetry.traces import DROPPED, EXPORTED, FAILED, Export, Traces

if TYPE_CHECKING:
    from gateway.telemetry.otlp import OtlpExporter

Counts = Mapping[tuple[str, ...], float]
"""Numbers of traced requests by what became of their spans."""

_log = logging.getLogger(__name__)


def sampler(config: model.Config) -> Sampler | None:
    """Return what decides which requests are traced, None where none is."""
    section = config.telemetry.traces
    return Sampler(section.sample_ratio) if section.endpoint else None


def bring_library(config: model.Config) -> None:
    """Import what exports traces, if `config` wants any: that takes a while. Raises `CannotStart`."""
    if config.telemetry.traces.endpoint:
        _exporter_class()


class OpenTraces:
    """The exporter of one configuration.

    Raises `CannotStart` without the extra that brings the library, `OSError` for authorities that cannot be read.
    """

    def __init__(
        self, config: model.Config, config_path: Path, clock: Clock, patience_seconds: float
    ) -> None:
        section = config.telemetry.traces
        export, self._close = _exporter(section, config_path)
        self.traces = Traces(
            _writer(config), export, clock=clock, requests_max=section.requests_max
        )
        self._flushing = Writer(self.traces, patience_seconds)

    def redact_like(self, config: model.Config, before: model.Config) -> None:
        """Redact by the key formats of `config` from now on, and by those of the configuration before."""
        self.traces.writer = _writer(config, before)

    async def flush(self) -> None:
        """Export the waiting requests. Raises `TimeoutError` while the collector is slow."""
        await self._flushing.flush()

    async def close(self) -> None:
        """Export what is left. A collector that is slow is left behind."""
        try:
            await self.flush()
        except TimeoutError:
            _log.error("the collector of traces is slow: the last spans are lost")
        finally:
            self._close()


def _exporter(section: model.Traces, config_path: Path) -> tuple[Export, Callable[[], None]]:
    exporter = _exporter_class()(
        endpoint=section.endpoint,
        headers={name: value.get_secret_value() for name, value in section.headers.items()},
        authorities=str(anchored(config_path, section.ca)) if section.ca else "",
        service_name=section.service_name,
        timeout_seconds=section.timeout,
    )
    return exporter.export, exporter.close


def _exporter_class() -> type[OtlpExporter]:
    try:
        # Takes a tenth of a second and brings libraries: only for those who trace.
        from gateway.telemetry.otlp import OtlpExporter
    except ImportError as error:
        raise CannotStart(
            "telemetry.traces.endpoint needs the extra otel, which is not installed "
            f"({error.name} is missing): pip install 'tollhouse[otel]'"
        ) from error
    return OtlpExporter


def _writer(config: model.Config, before: model.Config | None = None) -> SpanWriter:
    scheme = "http" if config.listeners.public.tls is None else "https"
    return SpanWriter(redactor(config, before).redact, scheme)


class Tracing:
    """What is told about traced requests, for as long as the process lives; `open` is replaced by reloads."""

    def __init__(self, clock: Clock) -> None:
        self.exemplars = Exemplars(clock.monotonic)
        self.open: OpenTraces | None = None
        # What exporters that were closed have counted, and those that are being closed: one value, for other threads.
        self._past: tuple[Counts, tuple[OpenTraces, ...]] = ({}, ())

    def record(self, outcome: Outcome, spans: Spans) -> None:
        """Take a traced request (`Generation.traced`)."""
        if self.open is not None:
            self.open.traces.record(outcome, spans)
            self.exemplars.record(outcome, spans)

    def counts(self) -> Counts:
        """Return the traced requests so far by what became of them: the reading of `traced_requests_total`."""
        before, leaving = self._past
        return _sum(before, *(each.traces.counts for each in (self.open, *leaving) if each))

    def follow(self, opened: OpenTraces | None) -> OpenTraces | None:
        """Export through `opened` from now on; return what was replaced, to be `retire`d."""
        replaced, self.open = self.open, opened
        if replaced is None or replaced is opened:
            return None
        before, leaving = self._past
        self._past = (before, (*leaving, replaced))
        return replaced

    async def retire(self, replaced: OpenTraces) -> None:
        """Export what waits in what was replaced, and close it."""
        await replaced.close()
        before, leaving = self._past
        rest = tuple(each for each in leaving if each is not replaced)
        self._past = (_sum(before, replaced.traces.counts), rest)


def _sum(*counts: Counts) -> Counts:
    return {
        (outcome,): sum(each.get((outcome,), 0.0) for each in counts)
        for outcome in (EXPORTED, DROPPED, FAILED)
    }
