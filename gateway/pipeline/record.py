"""Step 6, always and last: hand the outcome of the request to the recorders.

Knows what is worth keeping of a request. It never awaits and never raises. It must not know metrics or log lines.
Every request pays for each store here: what can be worked out later is left to whoever wants it.
"""

from __future__ import annotations

from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.trace_context import Sampler, given_trace
from gateway.pipeline.generation import Generation
from gateway.ports import Exchange


def record(
    exchange: Exchange,
    generation: Generation,
    outcome: Outcome,
    result: Denial | Reply | int,
    status: int,
) -> None:
    """Record what became of the request: refused, relayed, or answered by the gateway with a plain status."""
    outcome.duration = generation.clock.monotonic() - outcome.started
    outcome.generation = generation.number
    outcome.head = exchange.head
    outcome.request_id = exchange.request_id
    outcome.client_address = exchange.client_address
    outcome.peer_address = exchange.peer_address
    outcome.request_bytes = exchange.request_bytes
    outcome.response_bytes = exchange.response_bytes
    outcome.status = status
    outcome.reason = None
    outcome.detail = ""
    if isinstance(result, Reply):
        outcome.result = result
        outcome.ended = result.ended
        if result.ended == "cut" and exchange.failure is not None:
            outcome.detail = exchange.failure.internal
    else:
        _answered_here(exchange, outcome, result, status)
    generation.recorder.record(outcome)
    if generation.sampler is not None:
        _trace(exchange, generation, generation.sampler, outcome)


def _trace(exchange: Exchange, generation: Generation, sampler: Sampler, outcome: Outcome) -> None:
    """Hand on a request that is traced, with the ids that its upstream was told of."""
    given = given_trace(exchange.head) if exchange.keeps_trace else None
    spans = sampler.spans(exchange.trace_id, given)
    if spans is not None:
        generation.traced(outcome, spans)


def _answered_here(
    exchange: Exchange, outcome: Outcome, result: Denial | Reply | int, status: int
) -> None:
    outcome.result = None
    if isinstance(result, Denial):
        outcome.result = result
        outcome.reason = result.reason
        outcome.detail = result.internal
        if result.grant is not None:
            outcome.grant = result.grant
        if outcome.key is None and isinstance(result.key, BoundKey):
            outcome.key = (
                result.key
            )  # who was refused: known now, and not before the answer was made
    outcome.ended = "complete"
    if not status:
        outcome.ended = "client_gone" if exchange.is_gone else "cut"
        if exchange.is_gone:
            outcome.reason = None  # it was not us who ended it
