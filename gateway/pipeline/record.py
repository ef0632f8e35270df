"""Step 6, always and last: hand the outcome of the request to the recorders.

Knows what is worth keeping of a request. It never awaits and never raises. It must not know metrics or log lines.
"""

from __future__ import annotations

from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey
from gateway.domain.outcome import Outcome
from gateway.domain.routes import Route
from gateway.pipeline.generation import Generation
from gateway.pipeline.values import Admission, Reply
from gateway.ports import Exchange


class Progress:
    """How far a request came: what may be said of it whatever happens next."""

    __slots__ = ("admission", "key", "route", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.route: Route | None = None
        self.key: BoundKey | None = None
        self.admission: Admission | None = None


def record(
    exchange: Exchange,
    generation: Generation,
    progress: Progress,
    result: Denial | Reply | int,
    status: int,
) -> None:
    """Record what became of the request: refused, relayed, or answered by the gateway with a plain status."""
    head = exchange.head
    route = progress.route
    clock = generation.clock
    duration = clock.monotonic() - progress.started
    outcome = Outcome(
        request_id=exchange.request_id.decode("ascii"),
        method=head.method,
        target=head.target,
        client_address=exchange.client_address,
        peer_address=exchange.peer_address,
        user_agent=head.user_agent,
        started_at=clock.now() - duration,
    )
    outcome.generation = generation.number
    outcome.duration = duration
    outcome.status = status
    outcome.key = progress.key
    outcome.request_bytes = exchange.request_bytes
    outcome.response_bytes = exchange.response_bytes
    if route is not None:
        outcome.route = route.name
    admission = progress.admission
    if admission is not None and admission.grant is not None:
        outcome.policy = admission.grant.decided_by
    if isinstance(result, Reply):
        outcome.source = "upstream"
        outcome.upstream = result.upstream
        outcome.upstream_target = result.target
        outcome.upstream_duration = result.upstream_seconds
        outcome.ended = result.ended
        if result.ended == "cut" and exchange.failure is not None:
            outcome.detail = exchange.failure.internal
    elif isinstance(result, Denial):
        _refused(outcome, result)
    if not status and outcome.ended == "complete":
        outcome.ended = "client_gone" if exchange.is_gone else "cut"
        if exchange.is_gone:
            outcome.reason = None  # it was not us who ended it
    generation.recorder.record(outcome)


def _refused(outcome: Outcome, denial: Denial) -> None:
    outcome.reason = denial.reason
    outcome.detail = denial.internal
    outcome.upstream = denial.upstream
    outcome.upstream_duration = denial.upstream_seconds
    if denial.grant is not None:
        outcome.policy = denial.grant.decided_by
