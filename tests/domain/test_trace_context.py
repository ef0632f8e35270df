"""Trace context: what a client's trace is, which requests are traced, and what an upstream is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.request import RequestHead
from gateway.domain.trace_context import GivenTrace, Sampler, Spans, given_trace, trace_of
from tests.domain.test_passage import PARENT, head

HEX = frozenset(b"0123456789abcdef")


def lines_of(request: RequestHead) -> bytes:
    """Return the client's trace context as it crosses."""
    found = given_trace(request)
    return b"" if found is None else found.lines


def traced(request: RequestHead) -> list[str]:
    """Return the lines of the client's trace context that cross."""
    return lines_of(request).decode("latin-1").split("\r\n")[:-1]


def is_traceparent(value: bytes) -> bool:
    version, dash_1, trace, dash_2, parent, dash_3, flags, more = (
        value[:2], value[2:3], value[3:35], value[35:36], value[36:52], value[52:53], value[53:55], value[55:],
    )  # fmt: skip
    members = ((version, 2), (trace, 32), (parent, 16), (flags, 2))
    return (
        all(len(member) == size and set(member) <= HEX for member, size in members)
        and dash_1 == dash_2 == dash_3 == b"-"
        and version != b"ff"
        and set(trace) != {ord("0")}
        and set(parent) != {ord("0")}
        and (not more or (version != b"00" and more.startswith(b"-")))
    )


T, P = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        (f"00-{T}-{P}-01", True), (f"00-{T}-{P}-00", True), (f"00-{T}-{P}-ff", True), (f"01-{T}-{P}-01", True),
        (f"cc-{T}-{P}-01-what-the-future-will-be-like", True), (f"fe-{T}-{P}-01-", True),
        ("", False), ("00", False), (f"ff-{T}-{P}-01", False), (f"0-{T}-{P}-01", False), (f"000-{T}-{P}-01", False),
        (f"0x-{T}-{P}-01", False), (f"00-{T.upper()}-{P}-01", False), (f"00-{T}-{P.upper()}-01", False),
        (f"00-{T}-{P}-0A", False), (f"00-{'0' * 32}-{P}-01", False), (f"00-{T}-{'0' * 16}-01", False),
        (f"00-{T[1:]}-{P}-01", False), (f"00-{T}a-{P}-01", False), (f"00-{T}-{P[1:]}-01", False),
        (f"00-{T}-{P}a-01", False), (f"00-{T}-{P}-1", False), (f"00-{T}-{P}-011", False), (f"00-{T}-{P}", False),
        (f"00-{T}-{P}-01-", False), (f"00-{T}-{P}-01-more", False), (f"cc-{T}-{P}-01.more", False),
        (f"cc-{T}-{P}-0", False), (f"cc-{T}-{P}-011", False), (f"00_{T}_{P}_01", False), (f"00-{T}-{P}-01 ", True),
        (f"00-{T[:-1]}.-{P}-01", False), (f"00-{T}-{P}-01, 00-{T}-{P}-01", False), (f"CC-{T}-{P}-01-x", False),
    ],
)  # fmt: skip
def test_a_traceparent_crosses_unchanged_or_not_at_all(value: str, is_valid: bool) -> None:
    request = head(f"Traceparent: {value}", "tracestate: a=1")
    assert traced(request) == (
        [f"traceparent: {value.strip()}", "tracestate: a=1"] if is_valid else []
    )


def test_two_traceparents_are_none() -> None:
    assert traced(head(f"traceparent: {PARENT}", f"traceparent: {PARENT}", "tracestate: a=1")) == []


def test_a_nominated_traceparent_ends_here() -> None:
    sent = (f"traceparent: {PARENT}", "tracestate: a=1", "Connection: traceparent")
    assert traced(head(*sent)) == []


def test_a_nominated_tracestate_ends_here() -> None:
    request = head(f"traceparent: {PARENT}", "tracestate: a=1", "Connection: tracestate")
    assert traced(request) == [f"traceparent: {PARENT}"]


def test_tracestate_without_traceparent_means_nothing() -> None:
    assert traced(head("tracestate: a=1")) == []


def test_tracestate_is_not_changed_where_traceparent_is_not() -> None:
    states = [
        "tracestate: a=1,b=" + "x" * 200,
        "tracestate: " + ",".join(f"k{n}=v" for n in range(500)),
    ]
    request = head(f"traceparent: {PARENT}", *states, "tracestate:")
    assert traced(request) == [f"traceparent: {PARENT}", *states]


@given(st.binary(max_size=80).filter(lambda value: not set(value) & set(b"\r\n\0")))
def test_what_crosses_as_a_trace_is_what_the_w3c_allows(value: bytes) -> None:
    """The rule once more, written as the specification does: field by field."""
    request = RequestHead(
        method="GET", target=b"/", path="/", fields=((b"traceparent", b"traceparent", value),)
    )
    assert bool(lines_of(request)) is is_traceparent(value)


@given(
    st.tuples(
        st.sampled_from(["00", "01", "fe", "ff", "0F"]),
        st.text("0a", min_size=31, max_size=33),
        st.text("0a", min_size=15, max_size=17),
        st.sampled_from(["00", "01", "ff", "0A", "1"]),
        st.sampled_from(["", "", "-", "-x", "x"]),
    )
)
def test_what_looks_like_a_trace_is_judged_like_the_w3c_does(parts: tuple[str, ...]) -> None:
    version, trace, parent, flags, more = parts
    value = f"{version}-{trace}-{parent}-{flags}{more}".encode()
    request = RequestHead(
        method="GET", target=b"/", path="/", fields=((b"traceparent", b"traceparent", value),)
    )
    assert lines_of(request) == (b"traceparent: %b\r\n" % value if is_traceparent(value) else b"")


# ---- sampling

OWN = b"0123456789abcdef0123456789abcdef"


def a_trace(flags: str = "01", *states: str) -> GivenTrace:
    found = given_trace(head(f"traceparent: 00-{T}-{P}-{flags}", *states))
    assert found is not None
    return found


def told(request: RequestHead, sampler: Sampler | None, *, goes_on: bool = True) -> list[str]:
    """Return what the upstream of the request `OWN` is told of its trace."""
    trace = trace_of(request, sampler)
    assert trace is not None
    lines = trace.lines(OWN, goes_on=goes_on)
    assert lines.endswith(b"\r\n")
    return lines.decode("latin-1").split("\r\n")[:-1]


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)]
)
def test_a_trace_that_came_says_itself_whether_it_is_kept(flags: str, is_sampled: bool) -> None:
    trace = a_trace(flags)
    assert trace.is_sampled is is_sampled
    for ratio in (0.0, 0.5, 1.0):
        assert (Sampler(ratio).spans(OWN, trace) is not None) is is_sampled


def test_ours_are_spans_of_the_trace_that_came() -> None:
    spans = Sampler(0).spans(OWN, a_trace())
    assert spans is not None
    assert (spans.trace_id, spans.parent_id) == (T.encode(), P.encode())
    assert (spans.client_id, spans.server_id) == (OWN[:16], OWN[16:])


def test_a_trace_of_a_later_version_is_read_like_one_of_ours() -> None:
    found = given_trace(head(f"traceparent: cc-{T}-{P}-01-more"))
    assert found is not None
    assert (found.trace_id, found.parent_id, found.is_sampled) == (T.encode(), P.encode(), True)


def test_a_trace_that_begins_here_is_named_like_its_request() -> None:
    spans = Sampler(1).spans(OWN, None)
    assert spans is not None
    assert (spans.trace_id, spans.parent_id) == (OWN, b"")


@given(st.floats(0, 1), st.integers(0, 2**128 - 1))
@settings(max_examples=500)
def test_a_share_of_all_traces_is_kept_told_by_the_last_sixteen_digits(
    ratio: float, number: int
) -> None:
    """OpenTelemetry's TraceIdRatioBased: services with the same share keep the same traces."""
    is_kept = ratio == 1 or number % 2**64 < int(ratio * 2**64)
    assert (Sampler(ratio).spans(b"%032x" % number, None) is not None) is is_kept


def test_all_and_none_mean_all_and_none() -> None:
    for number in (0, 1, 2**64 - 1, 2**128 - 1):
        own = b"%032x" % number
        assert Sampler(1).spans(own, None) is not None
        assert Sampler(0).spans(own, None) is None


# ---- what an upstream is told


def test_without_spans_of_ours_and_a_trace_of_the_client_there_is_nothing_to_work_out() -> None:
    assert trace_of(head(), None) is None


def test_the_upstream_s_parent_is_our_span_of_what_it_was_asked() -> None:
    assert told(head(), Sampler(1)) == [f"traceparent: 00-{OWN.decode()}-{OWN[:16].decode()}-01"]


def test_the_upstream_goes_on_with_the_client_s_trace_under_our_span() -> None:
    request = head(f"traceparent: 00-{T}-{P}-01", "tracestate: a=1", "tracestate: b=2")
    assert told(request, Sampler(0)) == [
        f"traceparent: 00-{T}-{OWN[:16].decode()}-01",
        "tracestate: a=1",
        "tracestate: b=2",
    ]


def test_a_trace_of_which_we_keep_nothing_passes_as_it_came() -> None:
    request = head(f"traceparent: 00-{T}-{P}-02", "tracestate: a=1")
    assert told(request, Sampler(1)) == [f"traceparent: 00-{T}-{P}-02", "tracestate: a=1"]
    assert told(request, None) == [f"traceparent: 00-{T}-{P}-02", "tracestate: a=1"]


def test_a_trace_that_is_not_kept_is_begun_all_the_same_and_says_so() -> None:
    assert told(head(), Sampler(0)) == [f"traceparent: 00-{OWN.decode()}-{OWN[:16].decode()}-00"]


@pytest.mark.parametrize("sampler", [None, Sampler(0), Sampler(1)])
def test_nothing_is_left_of_a_trace_that_does_not_go_on(sampler: Sampler | None) -> None:
    request = head(f"traceparent: {PARENT}", "tracestate: a=1")
    flags = "01" if sampler is not None and sampler.spans(OWN, None) else "00"
    assert told(request, sampler, goes_on=False) == [
        f"traceparent: 00-{OWN.decode()}-{OWN[:16].decode()}-{flags}"
    ]


@given(
    st.floats(0, 1),
    st.integers(0, 2**128 - 1),
    st.sampled_from(["", "00", "01", "03"]),
    st.booleans(),
)
def test_what_the_upstream_is_told_is_what_is_kept(
    ratio: float, number: int, flags: str, goes_on: bool
) -> None:
    sampler, own = Sampler(ratio), b"%032x" % number
    request = head(f"traceparent: 00-{T}-{P}-{flags}") if flags else head()
    trace = trace_of(request, sampler)
    assert trace is not None
    spans: Spans | None = sampler.spans(own, given_trace(request) if goes_on else None)
    line = trace.lines(own, goes_on=goes_on)
    if spans is not None:
        assert line == b"traceparent: 00-%b-%b-01\r\n" % (spans.trace_id, spans.client_id)
    else:
        assert not int(line[-4:-2], 16) & 1
