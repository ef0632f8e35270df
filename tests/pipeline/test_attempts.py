"""The proof that a request may be sent again."""

from __future__ import annotations

import pytest

from gateway.domain.denial import Reason
from gateway.domain.request import CHUNKED, ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.pipeline.attempts import Attempts
from gateway.ports import UpstreamFailure
from tests.pipeline.fakes import FakeConnection, FakeExchange, FakeUpstream
from tests.pipeline.samples import head

GONE = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "reset", is_unanswered=True)
LATE = UpstreamFailure(Reason.UPSTREAM_TIMEOUT, "silent", is_unanswered=True)
UNSENT = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "closed", is_unsent=True, is_unanswered=True)
HEARD = UpstreamFailure(Reason.UPSTREAM_BAD_RESPONSE, "half a head")
OURS = UpstreamFailure(Reason.INTERNAL, "client gone")
BUSY = ResponseHead(status=503)


class Rig:
    """The attempts at one request; `retries` is how many the upstream grants."""

    def __init__(
        self,
        method: str = "GET",
        *,
        body_length: int = 0,
        retries: int = 1,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.upstream = FakeUpstream("up", [])
        self.upstream.retries = retries
        self.exchange = FakeExchange(head(method=method, body_length=body_length))
        self.attempts = Attempts(self.exchange.head, self.exchange, self.upstream, timeouts, 100.0)

    def after(
        self, answer: ResponseHead | UpstreamFailure, *, is_reused: bool = False, now: float = 100.0
    ) -> bool:
        self.connection = FakeConnection(None, is_reused=is_reused)
        return self.attempts.may_go_on(answer, self.connection, now)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("answer", [GONE, LATE, BUSY], ids=["gone", "late", "busy"])
def test_idempotent_request_without_a_body_may_be_sent_again(
    method: str, answer: ResponseHead | UpstreamFailure
) -> None:
    assert Rig(method).after(answer)


@pytest.mark.parametrize(
    ("method", "length"),
    [("POST", 0), ("PATCH", 0), ("PURGE", 0), ("GET", 1), ("PUT", 5), ("PUT", CHUNKED)],
)
@pytest.mark.parametrize("answer", [GONE, LATE, BUSY], ids=["gone", "late", "busy"])
def test_request_with_an_effect_or_a_body_is_not_sent_again(
    method: str, length: int, answer: ResponseHead | UpstreamFailure
) -> None:
    rig = Rig(method, body_length=length)
    assert not rig.after(answer)
    assert rig.upstream.retried == []


@pytest.mark.parametrize(("method", "length"), [("POST", 0), ("POST", 7), ("PUT", CHUNKED)])
def test_request_of_which_nothing_was_sent_may_always_be_sent(method: str, length: int) -> None:
    rig = Rig(method, body_length=length, retries=0)
    assert rig.after(UNSENT)
    assert rig.upstream.retried == ["unsent"]


@pytest.mark.parametrize("answer", [HEARD, OURS], ids=["heard", "ours"])
def test_request_is_not_sent_again_once_it_was_heard_or_given_up(answer: UpstreamFailure) -> None:
    assert not Rig().after(answer)


def test_nothing_is_sent_again_for_a_client_that_left() -> None:
    rig = Rig()
    rig.exchange.is_gone = True
    assert not rig.after(GONE)
    assert not rig.after(UNSENT)


@pytest.mark.parametrize(
    ("answer", "is_reused", "cause"),
    [
        (GONE, False, "reset"),
        (GONE, True, "stale"),
        (LATE, True, "timeout"),
        (BUSY, True, "status"),
        (UNSENT, True, "unsent"),
    ],
)
def test_upstream_is_told_what_the_attempt_failed_of(
    answer: ResponseHead | UpstreamFailure, is_reused: bool, cause: str
) -> None:
    rig = Rig()
    rig.after(answer, is_reused=is_reused)
    assert rig.upstream.retried == [cause]


def test_upstream_has_the_last_word() -> None:
    rig = Rig(retries=2)
    assert [rig.after(GONE) for _ in range(4)] == [True, True, False, False]


def test_what_was_not_sent_does_not_count_as_sent() -> None:
    rig = Rig(retries=1)
    assert [rig.after(answer) for answer in (UNSENT, UNSENT, GONE, GONE)] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("answer", [GONE, BUSY, HEARD], ids=["gone", "busy", "heard"])
def test_upstream_learns_from_every_attempt(answer: ResponseHead | UpstreamFailure) -> None:
    rig = Rig("POST")
    rig.after(answer)
    told = answer.status if isinstance(answer, ResponseHead) else answer
    assert rig.upstream.told == [(rig.connection.target, told)]
    assert rig.attempts.tried == [rig.connection.target]


def test_connection_is_given_up_only_for_another_attempt() -> None:
    rig = Rig()
    assert rig.after(BUSY)
    assert rig.connection.cancelled is not None
    assert not rig.after(BUSY)
    assert rig.connection.cancelled is None


def test_all_attempts_share_one_total_time() -> None:
    rig = Rig(retries=9, timeouts=Timeouts(total_seconds=5.0, idle_seconds=7.0))
    assert rig.after(GONE, now=102.0)
    assert rig.attempts.timeouts == Timeouts(total_seconds=3.0, idle_seconds=7.0)
    assert rig.after(GONE, now=104.5)
    assert rig.attempts.timeouts.total_seconds == 0.5
    assert not rig.after(GONE, now=105.0)


def test_without_a_total_time_attempts_may_come_late() -> None:
    rig = Rig()
    assert rig.after(GONE, now=10_000.0)
    assert rig.attempts.timeouts == rig.upstream.timeouts
