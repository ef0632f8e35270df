import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.constant_rate import Schedule, content_length, percentile, raw_requests


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
