from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Reason
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.readings import Readings
from gateway.telemetry.segment import Segment, SegmentRows
from tests.telemetry.outcomes import make_outcome
from tests.telemetry.scrape import Samples, samples, total, value

NAMES: dict[str, list[str]] = {
    "routes": ["jobs.read", "jobs.write"],
    "upstreams": ["jobs"],
    "policies": ["pro/minute"],
}
NEVER_BACK = ("_total", "_bucket", "_count", "_sum")


def make_metrics(**options: Any) -> Metrics:
    values: dict[str, Any] = {"version": "1", "has_process": False, **NAMES}
    return Metrics(**(values | options))


@dataclass
class Supervisor:
    """A supervisor's metrics, with workers whose rows are as in other processes."""

    rows_max: int = 1000
    metrics: Metrics = field(default_factory=make_metrics)
    workers: dict[int, Metrics] = field(default_factory=dict)
    began: int = 0

    def start(self) -> int:
        """Start a worker; returns its process id."""
        self.began += 1
        segment = Segment.create(self.rows_max)
        rows = SegmentRows(Segment.attach(segment.descriptor))
        self.workers[self.began] = make_metrics(rows=rows)
        self.metrics.crew.join(self.began, segment)
        return self.began

    def lose(self, pid: int) -> None:
        """End a worker without asking it anything."""
        del self.workers[pid]
        self.metrics.crew.leave(pid)


@contextmanager
def supervised(**options: Any) -> Iterator[Supervisor]:
    supervisor = Supervisor(**options)
    try:
        yield supervisor
    finally:
        for pid in list(supervisor.workers):
            supervisor.lose(pid)


def never_back(before: Samples, after: Samples) -> None:
    for (name, labels), number in before.items():
        if name.endswith(NEVER_BACK):
            assert after[name, labels] >= number, (name, labels)


def test_workers_are_counted_as_one_gateway() -> None:
    with supervised() as supervisor:
        first, second = supervisor.start(), supervisor.start()
        supervisor.workers[first].record(make_outcome())
        supervisor.workers[second].record(make_outcome())
        supervisor.workers[second].record(make_outcome(route="jobs.write"))
        supervisor.metrics.count("config_reloads_total", "applied")
        alone = make_metrics()
        for route in ("jobs.read", "jobs.read", "jobs.write"):
            alone.record(make_outcome(route=route))
        alone.count("config_reloads_total", "applied")
        assert samples(supervisor.metrics) == pytest.approx(samples(alone))


def test_the_numbers_of_a_worker_outlive_it_and_are_counted_once() -> None:
    with supervised() as supervisor:
        pid = supervisor.start()
        for _ in range(3):
            supervisor.workers[pid].record(make_outcome())
        before = samples(supervisor.metrics)
        supervisor.lose(pid)
        assert samples(supervisor.metrics) == before
        supervisor.metrics.crew.leave(pid)
        assert samples(supervisor.metrics) == before
        again = supervisor.start()
        supervisor.workers[again].record(make_outcome())
        assert total(supervisor.metrics, "requests_total") == 4


def test_counters_that_are_read_stay_as_last_told_and_gauges_go_with_their_worker() -> None:
    with supervised() as supervisor:
        crew = supervisor.metrics.crew
        first, second = supervisor.start(), supervisor.start()
        told: Readings = {"connections": {(): 5.0}, "access_log_dropped_total": {(): 2.0}}
        crew.heard(first, told)
        crew.heard(second, told)
        assert value(supervisor.metrics, "connections") == 10
        supervisor.lose(first)
        assert value(supervisor.metrics, "connections") == 5
        assert value(supervisor.metrics, "access_log_dropped_total") == 4
        crew.heard(first, told)  # it was under way when the worker ended
        assert value(supervisor.metrics, "connections") == 5
        supervisor.lose(second)
        assert ("connections", frozenset()) not in samples(supervisor.metrics)
        assert value(supervisor.metrics, "access_log_dropped_total") == 4


def test_what_a_worker_tells_is_plain_and_without_what_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = make_metrics()
    metrics.watch("connections", lambda: 3)
    metrics.watch("open_streams", lambda: {("sse",): 1})
    metrics.watch("store_up", lambda: 1 / 0)
    assert metrics.readings() == {"connections": {(): 3.0}, "open_streams": {("sse",): 1}}
    assert "the metric store_up could not be read" in caplog.text


def test_names_of_a_configuration_that_only_the_worker_has_yet_are_counted() -> None:
    with supervised() as supervisor:
        pid = supervisor.start()
        supervisor.workers[pid].declare(routes=["new"], upstreams=["blue"], policies=[])
        supervisor.workers[pid].record(make_outcome(route="new", upstream="blue", policy=""))
        assert value(supervisor.metrics, "request_bytes_total", route="new") == 3
        supervisor.metrics.declare(routes=["new"], upstreams=["blue"])
        assert value(supervisor.metrics, "request_bytes_total", route="new") == 3


def test_a_worker_whose_rows_are_full_goes_on_in_new_ones_and_nothing_is_lost() -> None:
    with supervised(rows_max=40) as supervisor:
        pid = supervisor.start()
        worker, before = supervisor.workers[pid], samples(supervisor.metrics)
        for status in range(100, 600):
            worker.record(make_outcome(status=status))
            if status % 20 == 0:
                supervisor.metrics.crew.tick()
                supervisor.metrics.crew.tick()
                after = samples(supervisor.metrics)
                never_back(before, after)
                before = after
        assert total(supervisor.metrics, "requests_total") == 500
        assert total(supervisor.metrics, "series_dropped_total") == 0


def test_a_worker_that_nobody_relieves_folds_what_has_no_room_and_says_so() -> None:
    with supervised(rows_max=40) as supervisor:
        pid = supervisor.start()
        for status in range(100, 600):
            supervisor.workers[pid].record(make_outcome(status=status))
        found = samples(supervisor.metrics)
        folded = {"route": "__other__", "method": "__other__"}
        labels = frozenset((folded | {"code": "__other__", "source": "__other__"}).items())
        assert total(supervisor.metrics, "requests_total") == 500
        assert found["requests_total", labels] > 300
        dropped = value(supervisor.metrics, "series_dropped_total", metric="requests_total")
        assert dropped == found["requests_total", labels]


OUTCOMES = st.fixed_dictionaries(
    {
        "route": st.sampled_from(["jobs.read", "jobs.write", "invented"]),
        "method": st.sampled_from(["GET", "POST", "BREW"]),
        "status": st.sampled_from([0, 200, 401, 429]),
        "reason": st.sampled_from([None, Reason.RATE_LIMITED, Reason.UPSTREAM_TIMEOUT]),
        "policy": st.sampled_from(["", "pro/minute"]),
        "duration": st.sampled_from([0.0001, 0.0125, 3.3]),
        "upstream_duration": st.sampled_from([0.0, 0.00007, 0.1]),
        "response_bytes": st.integers(0, 10**9),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 3), OUTCOMES),
        st.tuples(st.sampled_from(["start", "lose", "tick", "scrape"]), st.integers(0, 3)),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_to_workers_the_numbers_are_those_of_one_process(
    steps: list[tuple[Any, ...]],
) -> None:
    alone = make_metrics()
    with supervised(rows_max=60) as supervisor:
        supervisor.start()
        seen = samples(supervisor.metrics)
        for step in steps:
            pids = sorted(supervisor.workers)
            match step:
                case ("start", _) if len(pids) < 4:
                    supervisor.start()
                case ("lose", index) if pids:
                    supervisor.lose(pids[index % len(pids)])
                case ("tick", _):
                    supervisor.metrics.crew.tick()
                case ("record", index, fields):
                    alone.record(make_outcome(**fields))
                    counting = supervisor.workers[pids[index % len(pids)]] if pids else None
                    (counting or supervisor.metrics).record(make_outcome(**fields))
            after = samples(supervisor.metrics)
            never_back(seen, after)
            seen = after
        assert seen == pytest.approx(samples(alone))


CHILD = """
import os, signal, sys
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.segment import Segment, SegmentRows
from tests.telemetry.outcomes import make_outcome

rows = SegmentRows(Segment.attach(int(sys.argv[1])))
metrics = Metrics(version="1", routes=["jobs.read"], upstreams=["jobs"], rows=rows)
for number in range(1, 10**9):
    metrics.record(make_outcome(policy=""))
    os.write(1, b"%d\\n" % number)  # acknowledged
"""


def test_a_worker_killed_in_the_act_has_counted_what_it_acknowledged() -> None:
    metrics, segment = make_metrics(), Segment.create()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(segment.descriptor)],
        stdout=subprocess.PIPE,
        pass_fds=[segment.descriptor],
        cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    ) as child:
        metrics.crew.join(child.pid, segment)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        acknowledged = int([*lines, *child.stdout.readlines()][-1])
    before = total(metrics, "requests_total")
    metrics.crew.leave(child.pid)
    assert total(metrics, "requests_total") == before
    # One more may have been counted, whose acknowledgement was not sent any more.
    assert before - acknowledged in (0, 1)
    assert value(metrics, "upstream_requests_total", upstream="jobs", outcome="ok") == before
