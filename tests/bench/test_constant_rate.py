import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.constant_rate import Schedule, Traffic, content_length, percentile, raw_requests


def test_requests_are_due_at_even_distances_whatever_happens_meanwhile() -> None:
    schedule = Schedule(100.0, started=5.0)
    assert schedule.take(5.0) == 5.0
    assert schedule.take(5.005) is None
    assert schedule.next_due == pytest.approx(5.01)
    # The process slept for 30 ms: what was due meanwhile is due since then.
    late = [schedule.take(5.04) for _ in range(4)]
    assert late == pytest.approx([5.01, 5.02, 5.03, 5.04])
    assert schedule.take(5.04) is None
    assert schedule.sent == 5


@given(rate=st.floats(1, 50_000), steps=st.lists(st.floats(0, 0.5), max_size=20))
def test_as_many_requests_are_taken_as_the_rate_says(rate: float, steps: list[float]) -> None:
    schedule, now = Schedule(rate, started=0.0), 0.0
    for step in steps:
        now += step
        while schedule.sent < 2000 and schedule.take(now) is not None:
            pass
    expected = min(2000, int(now * rate) + 1) if steps else 0
    assert abs(schedule.sent - expected) <= 1


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.50) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert percentile([], 0.5) == float("inf")


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_enough_values_do_not_exceed_a_percentile(values: list[float], share: float) -> None:
    values.sort()
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_the_length_of_an_answer_is_read_in_any_spelling() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  42\r\nA: b") == 42
    assert content_length(b"HTTP/1.1 204 No Content\r\nA: b") == 0


def test_requests_are_made_from_the_lines_that_wrk_reads() -> None:
    get, post = raw_requests(["GET\t/a?b=1\tsecret\t0\n", "POST\t/c\t\t3\n"])
    assert get == b"GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\n\r\n"
    assert post == b"POST /c HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nxxx"


def test_the_warm_up_is_sent_and_answered_but_its_latencies_do_not_count() -> None:
    with answering() as port:
        traffic = Traffic(port, raw_requests(["GET\t/\t\t0\n"]))
        report = traffic.run(rate=200.0, seconds=0.1, warm_up=0.2)
        traffic.close()
    assert report.failures == 0
    assert report.requests == pytest.approx(60, abs=2)
    assert report.seconds == pytest.approx(0.3)
    assert 0 < len(traffic.latencies) <= 22
    assert len(traffic.late) == len(traffic.latencies)


@contextmanager
def answering() -> Iterator[int]:
    """Answer every request on a free port, each connection in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
