from __future__ import annotations

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.limits import Grant
from gateway.domain.outcome import Outcome
from gateway.domain.trace_context import Sampler, Spans
from gateway.limiters.memory import MemoryLimiter
from gateway.pipeline.record import record
from gateway.pipeline.values import Reply
from gateway.ports import UpstreamFailure
from tests.clock import FakeClock
from tests.pipeline.fakes import ADDRESS, TRACE_ID, FakeExchange
from tests.pipeline.samples import THINGS, bound, concurrency, head, rate
from tests.pipeline.world import World

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REPLY = Reply(
    200, ended="complete", upstream="up", target="http://10.0.0.9:9000", upstream_seconds=0.25
)


def recorded(
    result: Denial | Reply | int,
    status: int,
    *,
    exchange: FakeExchange | None = None,
    grant: Grant | None = None,
    is_matched: bool = True,
) -> Outcome:
    """Return the outcome of a request that took half a second."""
    world = World()
    progress = Outcome(world.clock.monotonic())
    if is_matched:
        progress.route = THINGS
        progress.key = bound()
        progress.grant = grant
    world.clock.advance(0.5)
    record(exchange or FakeExchange(head()), world.generation, progress, result, status)
    (outcome,) = world.recorded.outcomes
    return outcome


def granted() -> Grant:
    return MemoryLimiter(FakeClock()).acquire([rate()])


def test_a_relayed_response_is_recorded_with_everything_about_it() -> None:
    asked = FakeExchange(head("/v1/things?q=1", ("User-Agent", "curl/8")))
    asked.request_bytes, asked.response_bytes = 3, 700
    outcome = recorded(REPLY, 200, exchange=asked, grant=granted())
    assert outcome.request_id == b"req_0123"
    assert outcome.head.method == "GET"
    assert outcome.head.target == b"/v1/things?q=1"
    assert outcome.client_address == ADDRESS
    assert outcome.peer_address == "10.0.0.1"
    assert outcome.head.user_agent == b"curl/8"
    assert outcome.started == 1_000.0
    assert outcome.duration == 0.5
    assert outcome.route_name == "things"
    assert outcome.status == 200
    assert outcome.source == "upstream"
    assert outcome.upstream == "up"
    assert outcome.upstream_target == "http://10.0.0.9:9000"
    assert outcome.upstream_duration == 0.25
    assert (outcome.request_bytes, outcome.response_bytes) == (3, 700)
    assert outcome.policy == "pro/minute"
    assert outcome.key is not None
    assert outcome.key.record.key_id == "key_a"
    assert outcome.reason is None
    assert outcome.ended == "complete"


def test_a_refused_key_is_recorded_as_whose_request_it_was() -> None:
    """HP-13, IV-26: who was refused is found by the key, also when it was the key that was refused."""
    denial = Denial(reason=Reason.KEY_REVOKED, internal="key_a", key=bound())
    outcome = recorded(denial, 401, is_matched=False)
    assert outcome.key is not None
    assert outcome.key.record.key_id == "key_a"
    unknown = Denial(reason=Reason.UNKNOWN_KEY)
    assert recorded(unknown, 401, is_matched=False).key is None


def test_a_refusal_is_recorded_with_its_reason_and_what_only_the_log_may_know() -> None:
    denial = Denial(
        reason=Reason.UPSTREAM_TIMEOUT,
        internal="10.0.0.9: silent",
        upstream="up",
        upstream_seconds=2.0,
    )
    outcome = recorded(denial, 504)
    assert outcome.reason is Reason.UPSTREAM_TIMEOUT
    assert outcome.detail == "10.0.0.9: silent"
    assert outcome.status == 504
    assert outcome.source == "gateway"
    assert outcome.upstream == "up"
    assert outcome.upstream_duration == 2.0


def test_a_request_that_matched_nothing_has_a_bounded_route() -> None:
    outcome = recorded(Denial(reason=Reason.NO_ROUTE), 404, is_matched=False)
    assert outcome.route_name == "__unmatched__"
    assert outcome.key is None
    assert outcome.policy == ""


def test_an_answer_of_the_gateway_itself_is_its_own() -> None:
    outcome = recorded(200, 200, grant=granted())
    assert outcome.source == "gateway"
    assert outcome.reason is None
    assert outcome.policy == "pro/minute"


def test_a_refused_limit_is_recorded_under_the_policy_that_refused() -> None:
    limiter = MemoryLimiter(FakeClock())
    limiter.acquire([concurrency()])
    grant = limiter.acquire([rate(), concurrency()])
    denial = Denial(reason=Reason.CONCURRENCY_LIMITED, grant=grant)
    assert recorded(denial, 429, is_matched=False).policy == "pro/concurrency"


def test_limits_without_a_rate_or_quota_name_no_policy() -> None:
    grant = MemoryLimiter(FakeClock()).acquire([concurrency()])
    assert recorded(REPLY, 200, grant=grant).policy == ""


def test_a_client_that_left_before_any_answer_was_not_refused() -> None:
    asked = FakeExchange(head())
    asked.leave()
    outcome = recorded(Denial(reason=Reason.INTERNAL, internal="client gone"), 0, exchange=asked)
    assert outcome.ended == "client_gone"
    assert outcome.reason is None
    assert outcome.status == 0


def test_a_response_that_broke_off_here_was_cut_and_keeps_its_reason() -> None:
    outcome = recorded(Denial(reason=Reason.INTERNAL, internal="RuntimeError"), 0)
    assert outcome.ended == "cut"
    assert outcome.reason is Reason.INTERNAL


def test_a_client_that_left_during_the_response_saw_its_status() -> None:
    asked = FakeExchange(head())
    asked.leave()
    reply = Reply(200, ended="client_gone", upstream="up", target="t", upstream_seconds=1)
    outcome = recorded(reply, 200, exchange=asked)
    assert outcome.ended == "client_gone"
    assert outcome.status == 200


def test_a_client_that_left_after_the_last_byte_had_a_complete_answer() -> None:
    asked = FakeExchange(head())
    asked.leave()
    assert recorded(REPLY, 200, exchange=asked).ended == "complete"


def test_how_a_response_ended_is_recorded_as_the_exchange_told_it() -> None:
    reply = Reply(200, ended="upstream_broke", upstream="up", target="t", upstream_seconds=1)
    assert recorded(reply, 200).ended == "upstream_broke"


def test_why_a_response_was_cut_is_recorded_for_the_log() -> None:
    cut = FakeExchange(head())
    cut.failure = UpstreamFailure(Reason.KEY_REVOKED, "cut: key_revoked")
    reply = Reply(200, ended="cut", upstream="up", target="t", upstream_seconds=1)
    outcome = recorded(reply, 200, exchange=cut)
    assert (outcome.ended, outcome.detail, outcome.reason) == ("cut", "cut: key_revoked", None)
    assert recorded(reply, 200).detail == ""


# ---- traces


def traced(asked: FakeExchange, ratio: float | None) -> list[tuple[Outcome, Spans]]:
    """Return what is handed on of a request under a generation that keeps this part of its traces."""
    world, kept = World(), list[tuple[Outcome, Spans]]()
    if ratio is not None:
        world.change(sampler=Sampler(ratio))
    world.change(traced=lambda outcome, spans: kept.append((outcome, spans)))
    record(asked, world.generation, Outcome(0.0), REPLY, 200)
    assert [outcome for outcome, _ in kept] == world.recorded.outcomes[: len(kept)]
    return kept


def test_a_request_that_is_traced_is_handed_on_once_it_was_recorded() -> None:
    ((_, spans),) = traced(FakeExchange(head()), 1)
    assert spans.trace_id == TRACE_ID
    assert spans.parent_id == b""


def test_a_request_that_is_not_traced_is_only_recorded() -> None:
    assert traced(FakeExchange(head()), 0) == []
    assert traced(FakeExchange(head("/v1/things", ("traceparent", PARENT))), None) == []


def test_a_trace_that_came_is_gone_on_with_only_from_whom_it_is_believed() -> None:
    asked = head("/v1/things", ("traceparent", PARENT))
    ((_, spans),) = traced(FakeExchange(asked), 0)
    assert spans.trace_id == PARENT[3:35].encode()
    assert spans.parent_id == PARENT[36:52].encode()
    assert traced(FakeExchange(asked, keeps_trace=False), 0) == []
    ((_, spans),) = traced(FakeExchange(asked, keeps_trace=False), 1)
    assert (spans.trace_id, spans.parent_id) == (TRACE_ID, b"")


@pytest.mark.parametrize("fields", [(), (("traceparent", PARENT), ("tracestate", "a=1"))])
async def test_the_upstream_s_parent_is_the_span_that_is_handed_on(
    fields: tuple[tuple[str, str], ...],
) -> None:
    world, kept = World(), list[Spans]()
    await world.add_key()
    world.change(sampler=Sampler(1), traced=lambda _, spans: kept.append(spans))
    await world.ask(head("/v1/things", *fields))
    (spans,) = kept
    assert world.upstream.last.fields("traceparent") == [
        b"00-%b-%b-01" % (spans.trace_id, spans.client_id)
    ]
    assert world.upstream.last.fields("tracestate") == [b"a=1"] * bool(fields)
