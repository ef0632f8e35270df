from __future__ import annotations

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.outcome import UNMATCHED, Outcome, Reply
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.limiters.memory import MemoryLimiter
from tests.clock import FakeClock
from tests.pipeline.samples import rate

HEAD = RequestHead(method="GET", target=b"/", path="/", fields=())


def test_a_request_begins_unmatched_without_key_and_limits() -> None:
    outcome = Outcome(5.0)
    assert (outcome.started, outcome.route, outcome.key, outcome.grant) == (5.0, None, None, None)
    assert (outcome.route_name, outcome.policy) == (UNMATCHED, "")


def test_a_request_is_named_after_its_route_and_the_limit_that_decided() -> None:
    outcome = Outcome(5.0)
    outcome.route = Route(name="jobs", pattern="/jobs")
    outcome.grant = MemoryLimiter(FakeClock()).acquire([rate()])
    assert (outcome.route_name, outcome.policy) == ("jobs", "pro/minute")


@pytest.mark.parametrize(
    ("result", "source", "upstream", "target", "seconds"),
    [
        (None, "gateway", "", "", 0.0),
        (Denial(reason=Reason.NO_ROUTE), "gateway", "", "", 0.0),
        (
            Denial(reason=Reason.UPSTREAM_TIMEOUT, upstream="up", upstream_seconds=2.0),
            *("gateway", "up", "", 2.0),
        ),
        (
            Reply(200, ended="complete", upstream="up", target="http://a:1", upstream_seconds=0.5),
            *("upstream", "up", "http://a:1", 0.5),
        ),
    ],
    ids=["own", "refused", "refused upstream", "relayed"],
)
def test_what_is_told_of_the_upstream_follows_from_the_result(
    result: Denial | Reply | None, source: str, upstream: str, target: str, seconds: float
) -> None:
    outcome = Outcome(5.0)
    outcome.result, outcome.head = result, HEAD
    assert (outcome.source, outcome.upstream) == (source, upstream)
    assert (outcome.upstream_target, outcome.upstream_duration) == (target, seconds)
