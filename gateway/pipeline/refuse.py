"""Says no: turns a denial into the answer that the client's dialect calls for.

Knows which dialect and which rate-limit headers apply. It must not know why the denial was made.
"""

from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.domain.dialects.accept import choose
from gateway.domain.dialects.render import Dialect
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.pipeline.generation import Generation, Voice
from gateway.ports import Exchange


def refuse(
    denial: Denial,
    exchange: Exchange,
    route: Route | None,
    key: BoundKey | None,
    generation: Generation,
) -> int:
    """Answer with `denial`; return the status that was sent. `key` is who was refused, if that is known."""
    head = exchange.head
    voice = generation.voice(route)
    now = generation.clock.now()
    dialect = _dialect(voice.dialect, head, generation)
    answer = dialect.render(denial, exchange.request_id, now)
    block = b"".join(
        (
            answer.start,
            voice.lines,
            _rate_block(denial, key, voice, exchange, generation, now),
            b"X-Request-Id: ",
            exchange.request_id,
            b"\r\nX-Gateway-Error-Source: gateway\r\n",
            generation.dates.at(now),
            exchange.closing_fields(),
            b"\r\n",
        )
    )
    exchange.answer(block, b"" if head.method == "HEAD" else answer.body)
    return answer.status


def _dialect(dialect: Dialect, head: RequestHead, generation: Generation) -> Dialect:
    if generation.problem is None:
        return dialect
    return choose(dialect, generation.problem, head.accept)


def _rate_block(
    denial: Denial,
    key: BoundKey | None,
    voice: Voice,
    exchange: Exchange,
    generation: Generation,
    now: float,
) -> bytes:
    """Return rate-limit headers: of the buckets that were asked, else of the key's, else of the throttle."""
    headers = voice.rate_headers
    if headers.is_off:
        return b""
    grant = denial.grant
    if grant is None and key is not None and key.claims:
        grant = generation.limiter.look(key.claims)
    if grant is not None:
        return headers.render(grant, denial.retry_after_seconds, now)
    if not headers.is_promised:
        return b""
    limit, remaining, reset_seconds = generation.throttle.standing(exchange.client_network)
    retry_after = denial.retry_after_seconds if denial.reason is Reason.AUTH_THROTTLED else 0
    return headers.render_fallback(limit, remaining, reset_seconds, retry_after, now)
