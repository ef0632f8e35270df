"""Answers "who am I?" from the gateway itself, so that a client can test its key while the upstream is down."""

from __future__ import annotations

from gateway.domain.status import status_line
from gateway.pipeline.generation import Generation
from gateway.pipeline.values import Admission
from gateway.ports import Exchange


def introspect(admission: Admission, exchange: Exchange, generation: Generation) -> int:
    """Answer with what the caller's key is and may do; return the status that was sent, 0 if the client had left."""
    if exchange.is_gone:
        return 0
    principal = admission.permit.principal
    voice = generation.voice(principal.match.route)
    # A route with this handler always needs a key: the config's rules say so.
    assert principal.key is not None
    body = generation.introspect(principal.key, admission.grant, voice.dialect.name)
    now = generation.clock.now()
    head = b"".join(
        (
            status_line(200),
            b"Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n"
            % len(body),
            voice.lines,
            voice.rate_headers.render(admission.grant, 0, now),
            b"X-Request-Id: ",
            exchange.request_id,
            b"\r\n",
            generation.dates.at(now),
            exchange.closing_fields(),
            b"\r\n",
        )
    )
    exchange.answer(head, b"" if exchange.head.method == "HEAD" else body)
    return 200
