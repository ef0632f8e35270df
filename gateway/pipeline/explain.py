"""Tells what would become of a request, without sending it.

Knows how the story of `handle` is told over peers that only look (`rehearsal`): what decides here is what decides
everywhere. It must not decide anything itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.denial import Denial
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.outcome import Outcome, Reply
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.generation import Generation
from gateway.pipeline.handle import handle
from gateway.pipeline.rehearsal import (
    PresentedKey,
    RehearsedExchange,
    RehearsedLimiter,
    RehearsedRecorder,
    RehearsedThrottle,
    rehearsed_upstreams,
)
from gateway.pipeline.represent import Acting
from gateway.pipeline.trace import Scene, Step, steps

# An explained request bears the id of its key where others bear the secret: a token of no format that anybody mints.
_FORMATS: Final = KeyFormats([KeyFormat("key id", "", ("any",), 43, False)])
_PEPPERS: Final = Peppers("none", {"none": bytes(32)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that was never sent: `raw` is its head as the client would send it, but for the credential.

    It bears the key `key_id`, or none (empty), and comes on a connection from `peer_address`.
    """

    raw: bytes
    key_id: str
    peer_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would become of a request.

    `verdict` is `forward`, `refuse` or `answer` (by the gateway itself). `head` and `body` are what the client would
    be sent; of a request that is forwarded, `head` holds only the fields that the gateway adds to the upstream's.
    `steps` tell in order what was looked at.
    """

    verdict: str
    outcome: Outcome
    head: bytes
    body: bytes
    steps: tuple[Step, ...]
    generation: int

    @property
    def status(self) -> int | None:
        """The status that the client would see; None when the upstream decides it."""
        return None if self.verdict == "forward" else self.outcome.status


async def explain(
    exchange: RehearsedExchange,
    generation: Generation,
    key: PresentedKey,
    acting: Acting,
    derivation: str,
) -> Explanation:
    """Rehearse `exchange` under `generation`; its head bears the id of `key`, if it bears one.

    `acting` is how keys act for other tenants; `derivation` says how the client's address was found. Raises what
    looking up the key raises.
    """
    limiter = RehearsedLimiter(generation.limiter, generation.clock.now)
    throttle = RehearsedThrottle(generation.throttle, exchange.client_network)
    recorder = RehearsedRecorder()
    upstreams = rehearsed_upstreams(
        {pair: (each.name, each.base_path) for pair, each in generation.upstreams.items()}
    )
    authenticator = Authenticator(
        formats=_FORMATS, peppers=_PEPPERS, keys=key, throttle=throttle, clock=generation.clock
    )
    representative = generation.representative
    rehearsed = replace(
        generation,
        authenticator=authenticator,
        representative=None
        if representative is None
        else representative.among(acting, authenticator),
        limiter=limiter,
        throttle=throttle,
        recorder=recorder,
        upstreams=upstreams,
        shadowed=_nobody,
        sampler=None,
    )
    waits = throttle.retry_after("")
    await handle(exchange, rehearsed)
    outcome = recorder.outcome
    head, body = exchange.answered if exchange.answered is not None else (exchange.begun, b"")
    line = next((each.line for each in upstreams.values() if each.line), b"")
    scene = Scene(
        exchange=exchange,
        outcome=outcome,
        key=key.key if outcome.key is None else outcome.key,
        generation=generation,
        limiter=limiter,
        line=line.decode("latin-1"),
        derivation=derivation,
        throttled_seconds=waits,
    )
    return Explanation(
        verdict=_verdict(outcome),
        outcome=outcome,
        head=head if exchange.answered is not None else _added(head),
        body=body,
        steps=steps(scene),
        generation=generation.number,
    )


def _verdict(outcome: Outcome) -> str:
    if isinstance(outcome.result, Reply):
        return "forward"
    return "refuse" if isinstance(outcome.result, Denial) else "answer"


def _added(head: bytes) -> bytes:
    """Return the fields of a relayed head without its status line and framing, which are the upstream's."""
    lines = head.split(b"\r\n")[1:]
    kept = [line for line in lines if line and not line.lower().startswith(b"content-length:")]
    return b"".join(line + b"\r\n" for line in kept)


def _nobody(_: Outcome) -> None:
    """Nobody hears of a rehearsal."""
