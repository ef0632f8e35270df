from __future__ import annotations

from gateway.domain.outcome import Outcome


def test_an_outcome_begins_as_an_unmatched_request_that_the_gateway_answers() -> None:
    outcome = Outcome(
        request_id="req_1",
        method="GET",
        target=b"/a",
        client_address="192.0.2.1",
        peer_address="192.0.2.2",
        user_agent=b"curl",
        started_at=5.0,
    )
    assert (outcome.route, outcome.source, outcome.ended) == (
        "__unmatched__",
        "gateway",
        "complete",
    )
    assert (outcome.status, outcome.reason, outcome.key) == (0, None, None)
    assert (outcome.request_id, outcome.method, outcome.target) == ("req_1", "GET", b"/a")
    assert (outcome.client_address, outcome.peer_address) == ("192.0.2.1", "192.0.2.2")
    assert (outcome.user_agent, outcome.started_at) == (b"curl", 5.0)
