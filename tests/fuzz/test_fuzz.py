"""The fuzzer finds nothing in a bounded run, and finds what it is there to find."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.backend import Heard
from tests.conformance.driver import AUTH, Seen
from tests.fuzz.grammar import cuts, seeds, stream
from tests.fuzz.oracle import Finding, judge
from tests.fuzz.readers import h11_reads, leniently
from tests.fuzz.run import fuzz

SENT = b"GET /v1/a HTTP/1.1\r\nHost: a\r\n" + AUTH + b"\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_stream_makes_the_gateway_and_other_readers_disagree(seed: int) -> None:
    report = await fuzz(seed, seconds=2.5)
    assert not report.findings, "\n\n".join(report.findings)
    assert report.streams


@given(st.integers(0, 10_000))
def test_a_stream_is_made_of_its_number_alone(number: int) -> None:
    known = [b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"]
    first, second = (stream(Random(f"1:{number}"), known) for _ in range(2))
    assert first == second
    assert cuts(Random(number), len(first)) == cuts(Random(number), len(second))


def test_the_conformance_cases_are_where_it_begins() -> None:
    assert len(seeds()) > 500


def seen(*forwarded: bytes, received: bytes = b"") -> Seen:
    return Seen(received, True, [Heard(data) for data in forwarded], [])


@pytest.mark.parametrize(
    ("forwarded", "why"),
    [
        (b"GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\n", "not recorded"),
        (b"GET /v1/b HTTP/1.1\r\nHost: a\r\n\r\n", "did not send"),
        (b"GET /v1/a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", "did not send"),
        (b"GET /v1/a HTTP/1.1\nHost: a\n\n", "no request"),
        (b"GET /v1/a HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 5\r\n\r\nhello", "no request"),
        (b"POST /v1/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "no request"),
        (b"GET /v1/a HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", "lenient reader"),
    ],
)  # fmt: skip
def test_what_must_not_reach_a_backend_is_found(forwarded: bytes, why: str) -> None:
    with pytest.raises(Finding, match=why):
        judge(SENT, seen(forwarded), [], [])


def test_a_500_and_a_complaint_are_found() -> None:
    with pytest.raises(Finding, match="complained"):
        judge(SENT, seen(), [], ["Traceback"])
    with pytest.raises(Finding, match="500"):
        judge(SENT, seen(received=b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), [], [])


def test_the_second_readers_read_what_is_sound() -> None:
    chunked = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    for reads in (h11_reads, leniently):
        post, get = reads(chunked + b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n")
        assert (post.method, post.target, post.body) == (b"POST", b"/", b"abc")
        assert (get.method, get.target, get.body) == (b"GET", b"/x", b"")
