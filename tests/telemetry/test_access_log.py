from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Reason
from gateway.domain.outcome import Outcome
from gateway.domain.redaction import MASK, Redactor
from gateway.telemetry.access_log import SLICE_LINES, AccessLog, Outlet
from gateway.telemetry.sink import Sink
from tests.clock import FakeClock
from tests.telemetry.outcomes import make_key, make_outcome

TOKEN = "sk_live_" + "Ab3" * 16


class Page:
    """A sink in memory."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.error: OSError | None = None

    def write(self, lines: Sequence[bytes]) -> None:
        if self.error is not None:
            raise self.error
        self.writes.append(b"".join(lines))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in b"".join(self.writes).decode().splitlines()]


def at_once(call: Callable[[], None]) -> None:
    """A loop whose turns end with each record."""
    call()


class Log:
    """An access log with one outlet."""

    def __init__(self, recorder: AccessLog, outlet: Outlet) -> None:
        self.record = recorder.record
        self.flush = outlet.flush
        self._outlet = outlet

    @property
    def dropped(self) -> int:
        return self._outlet.dropped

    def __len__(self) -> int:
        return len(self._outlet)


def make_log(
    write: Callable[[Sequence[bytes]], None],
    clock: FakeClock | None = None,
    queue_max: int = 1000,
    call_soon: Callable[[Callable[[], None]], None] = at_once,
) -> Log:
    clock = clock or FakeClock()
    outlet = Outlet("access log", write, clock=clock, lines_max=queue_max)
    recorder = make_recorder([outlet], clock, queue_max=queue_max, call_soon=call_soon)
    return Log(recorder, outlet)


def make_recorder(
    outlets: list[Outlet],
    clock: FakeClock,
    queue_max: int = 1000,
    call_soon: Callable[[Callable[[], None]], None] = at_once,
) -> AccessLog:
    return AccessLog(
        outlets,
        redactor=Redactor([("sk", ("live", "test"))]),
        clock=clock,
        call_soon=call_soon,
        queue_max=queue_max,
    )


def written(outcome: Outcome) -> dict[str, Any]:
    page = Page()
    log = make_log(page.write)
    log.record(outcome)
    log.flush()
    (line,) = page.lines()
    return line


def test_a_forwarded_request_becomes_one_line_with_every_field_in_order() -> None:
    line = written(make_outcome(key=make_key()))
    assert list(line.items()) == [
        ("ts", "2023-11-14T22:13:20.123Z"),
        ("request_id", "req_1"),
        ("method", "GET"),
        ("target", "/v1/jobs?limit=20"),
        ("route", "jobs.read"),
        ("status", 200),
        ("reason", None),
        ("detail", None),
        ("source", "upstream"),
        ("shadow", []),
        ("shadow_rules", []),
        ("key_id", "key_1"),
        ("tenant_id", "ten_1"),
        ("environment", "live"),
        ("billable", True),
        ("client_address", "192.0.2.7"),
        ("peer_address", "10.0.0.1"),
        ("user_agent", "curl/8.5.0"),
        ("duration_ms", 12.5),
        ("upstream", "jobs"),
        ("upstream_target", "http://10.0.1.1:9000"),
        ("upstream_ms", 12.1),
        ("request_bytes", 3),
        ("response_bytes", 760),
        ("ended", "complete"),
        ("generation", 0),
    ]


def test_a_refused_request_names_its_reason_and_no_upstream() -> None:
    line = written(
        make_outcome(
            reason=Reason.UNKNOWN_KEY,
            detail=f"no such key: {TOKEN}",
            source="gateway",
            upstream="",
            upstream_target="",
        )
    )
    assert line["reason"] == "unknown_key"
    assert line["detail"] == f"no such key: sk_live_{MASK}"
    assert [line["key_id"], line["tenant_id"], line["environment"]] == [None, None, None]
    assert [line["upstream"], line["upstream_target"], line["upstream_ms"]] == [None, None, None]


def test_no_key_is_written_wherever_the_client_put_it() -> None:
    line = written(
        make_outcome(
            target=f"/v1/{TOKEN}?api_key=abc&next=%2F%3Ftoken%3Dxyz".encode(),
            user_agent=f"bot {TOKEN} Bearer abc".encode(),
            request_id=TOKEN.encode(),
            method=TOKEN,
        )
    )
    assert line["target"] == f"/v1/sk_live_{MASK}?api_key={MASK}&next={MASK}"
    assert line["user_agent"] == f"bot sk_live_{MASK} Bearer {MASK}"
    assert line["request_id"] == line["method"] == f"sk_live_{MASK}"


def test_a_secret_is_removed_before_a_long_text_is_cut() -> None:
    line = written(make_outcome(user_agent=b"x" * 240 + TOKEN.encode() + b"y" * 500))
    assert line["user_agent"] == "x" * 240 + "sk_live_[redacte" + "…"
    assert len(written(make_outcome(target=b"/" * 9000))["target"]) == 2049


@given(target=st.binary(max_size=60), agent=st.binary(max_size=60), name=st.binary(max_size=9))
def test_a_line_is_valid_utf8_and_one_line_whatever_came_in(
    target: bytes, agent: bytes, name: bytes
) -> None:
    page = Page()
    log = make_log(page.write)
    log.record(make_outcome(target=target, user_agent=agent, request_id=name, ended="\ud800"))
    log.flush()
    raw = b"".join(page.writes)
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert json.loads(raw.decode("utf-8"))["ended"] == "\\ud800"


def test_recording_neither_writes_nor_renders() -> None:
    page, turn = Page(), list[Callable[[], None]]()
    log = make_log(page.write, call_soon=turn.append)
    for _ in range(3):
        log.record(make_outcome())
    log.flush()
    assert (len(log), page.writes, len(turn)) == (0, [], 1)  # one callback for the whole turn
    turn.pop()()
    assert (len(log), page.writes) == (3, [])
    log.flush()
    assert (len(log), len(page.lines())) == (0, 3)
    log.record(make_outcome())
    assert len(turn) == 1  # the next turn has one of its own


def test_whole_lines_are_written_in_slices() -> None:
    page = Page()
    log = make_log(page.write, queue_max=SLICE_LINES * 3)
    for _ in range(SLICE_LINES * 2 + 1):
        log.record(make_outcome())
    log.flush()
    assert [data.count(b"\n") for data in page.writes] == [SLICE_LINES, SLICE_LINES, 1]


def test_seconds_are_formatted_anew_when_they_change() -> None:
    page = Page()
    log = make_log(page.write)
    for moment in (1_000.0, 1_000.999, 1_001.5, 1_000.5):
        log.record(make_outcome(started=moment))
    log.flush()
    assert [line["ts"][17:] for line in page.lines()] == [
        "20.000Z",
        "20.999Z",
        "21.500Z",
        "20.500Z",
    ]


def test_a_full_queue_loses_lines_and_counts_them() -> None:
    page = Page()
    log = make_log(page.write, queue_max=3)
    for _ in range(5):
        log.record(make_outcome())
    log.flush()
    assert (len(page.lines()), log.dropped) == (3, 2)
    log.record(make_outcome())
    log.flush()
    assert (len(page.lines()), log.dropped) == (4, 2)


def test_a_sink_that_is_stuck_costs_the_others_nothing() -> None:
    clock, pages = FakeClock(), (Page(), Page())
    stuck = Outlet("access log", pages[0].write, clock=clock, lines_max=2)
    other = Outlet("request log", pages[1].write, clock=clock)
    recorder = make_recorder([stuck, other], clock)
    for _ in range(5):
        recorder.record(make_outcome())
    other.flush()
    assert (len(pages[1].lines()), other.dropped) == (5, 0)
    assert (len(stuck), stuck.dropped) == (2, 3)


def test_every_outlet_gets_the_same_line() -> None:
    clock, pages = FakeClock(), (Page(), Page())
    outlets = [Outlet("log", page.write, clock=clock) for page in pages]
    make_recorder(outlets, clock).record(make_outcome())
    for outlet in outlets:
        outlet.flush()
    assert pages[0].writes == pages[1].writes != []


def test_a_turn_of_too_many_requests_is_bounded_too() -> None:
    page, turn = Page(), list[Callable[[], None]]()
    log = make_log(page.write, queue_max=3, call_soon=turn.append)
    for _ in range(5):
        log.record(make_outcome())
    turn.pop()()
    log.flush()
    assert (len(page.lines()), log.dropped) == (3, 2)


def test_a_broken_sink_loses_lines_counts_them_and_complains_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page, clock = Page(), FakeClock()
    log = make_log(page.write, clock)
    page.error = OSError(28, "No space left on device")
    for pause in (0, 59, 1):
        clock.advance(pause)
        log.record(make_outcome())
        log.flush()
    assert log.dropped == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]
    assert "No space left on device" in caplog.text
    page.error = None
    log.record(make_outcome())
    log.flush()
    assert len(page.lines()) == 1


def test_nothing_is_lost_between_the_loop_and_a_flushing_thread() -> None:
    page = Page()
    log = make_log(page.write, queue_max=10_000)
    done = threading.Event()

    def flush_until_done() -> None:
        while not done.is_set():
            log.flush()

    threads = [threading.Thread(target=flush_until_done) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(2_000):
        log.record(make_outcome(request_bytes=number))
    done.set()
    for thread in threads:
        thread.join()
    log.flush()
    assert [line["request_bytes"] for line in page.lines()] == list(range(2_000))


def test_a_flush_ends_though_requests_go_on() -> None:
    page = Page()

    def write_and_record(lines: Sequence[bytes]) -> None:
        page.write(lines)
        log.record(make_outcome())

    log = make_log(write_and_record)
    log.record(make_outcome())
    log.flush()
    assert len(log) == 1


def test_lines_reach_a_file_through_its_sink(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = Sink(str(path))
    log = make_log(lambda lines: sink.write(b"".join(lines)))
    log.record(make_outcome())
    log.flush()
    sink.close()
    assert json.loads(path.read_text())["request_id"] == "req_1"
