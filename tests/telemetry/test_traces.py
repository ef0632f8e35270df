"""Traced requests wait within bounds, and whatever becomes of them is counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from gateway.domain.trace_context import Spans
from gateway.telemetry.spans import SpanData, SpanWriter
from gateway.telemetry.traces import SLICE_REQUESTS, ExportFailed, Traces
from tests.clock import FakeClock
from tests.telemetry.outcomes import make_outcome

OWN = b"0123456789abcdeffedcba9876543210"


class Collector:
    """Takes spans, until it is told to fail."""

    def __init__(self) -> None:
        self.batches: list[list[SpanData]] = []
        self.fails = ""

    def take(self, spans: Sequence[SpanData]) -> None:
        if self.fails:
            raise ExportFailed(self.fails)
        self.batches.append([*spans])

    @property
    def requests(self) -> int:
        return sum(span.is_server for batch in self.batches for span in batch)


def made(collector: Collector, clock: FakeClock | None = None, requests_max: int = 1000) -> Traces:
    writer = SpanWriter(lambda text: text, "http")
    return Traces(writer, collector.take, clock=clock or FakeClock(), requests_max=requests_max)


def offer(traces: Traces, count: int = 1) -> None:
    for _ in range(count):
        traces.record(make_outcome(), Spans(OWN, None))


def counts(traces: Traces) -> tuple[float, ...]:
    """Return how many were exported, dropped and failed."""
    return tuple(traces.counts[(outcome,)] for outcome in ("exported", "dropped", "failed"))


def test_nothing_is_made_or_sent_before_the_flush() -> None:
    collector = Collector()
    traces = made(collector)
    offer(traces, 3)
    assert (len(traces), collector.batches) == (3, [])
    traces.flush()
    assert (len(traces), collector.requests) == (0, 3)
    assert counts(traces) == (3, 0, 0)


def test_times_are_those_of_the_wall_clock() -> None:
    collector, clock = Collector(), FakeClock(now=1_700_000_000.0, monotonic=1_000.0)
    traces = made(collector, clock)
    traces.record(make_outcome(started=999.5), Spans(OWN, None))
    traces.flush()
    assert collector.batches[0][0].starts_at == 1_699_999_999_500_000_000


def test_what_has_no_room_is_dropped_and_counted() -> None:
    collector = Collector()
    traces = made(collector, requests_max=2)
    offer(traces, 5)
    traces.flush()
    offer(traces)
    assert counts(traces) == (2, 3, 0)
    assert len(traces) == 1


def test_many_are_sent_in_slices() -> None:
    collector = Collector()
    traces = made(collector)
    offer(traces, 2 * SLICE_REQUESTS + 1)
    traces.flush()
    sizes = [sum(span.is_server for span in batch) for batch in collector.batches]
    assert sizes == [SLICE_REQUESTS, SLICE_REQUESTS, 1]


def test_what_the_collector_does_not_take_is_lost_and_counted_and_the_rest_waits() -> None:
    collector = Collector()
    collector.fails = "refused"
    traces = made(collector)
    offer(traces, SLICE_REQUESTS + 5)
    traces.flush()
    assert counts(traces) == (0, 0, SLICE_REQUESTS)
    assert len(traces) == 5
    collector.fails = ""
    traces.flush()
    assert counts(traces) == (5, 0, SLICE_REQUESTS)


def test_a_collector_that_keeps_failing_is_complained_about_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector, clock = Collector(), FakeClock()
    collector.fails = "connection refused"
    traces = made(collector, clock)
    for seconds in (0, 30, 31):
        clock.advance(seconds)
        offer(traces)
        with caplog.at_level(logging.ERROR):
            traces.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "traces cannot be exported, spans are lost: connection refused"
    ] * 2


def test_requests_are_taken_while_the_collector_is_stuck() -> None:
    entered, release = threading.Event(), threading.Event()

    def stuck(_: Sequence[SpanData]) -> None:
        entered.set()
        assert release.wait(10)

    traces = Traces(SpanWriter(str, "http"), stuck, clock=FakeClock(), requests_max=2)
    offer(traces)
    thread = threading.Thread(target=traces.flush)
    thread.start()
    assert entered.wait(10)
    offer(traces, 3)
    assert (len(traces), counts(traces)) == (2, (0, 1, 0))
    release.set()
    thread.join(10)
    assert counts(traces) == (1, 1, 0)
