"""Answers "who am I?" from the gateway itself, so that a client can test its key while the upstream is down."""

from __future__ import annotations

from gateway.pipeline.answer import answer
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
    fields = b"Content-Type: application/json\r\nCache-Control: no-store\r\n"
    return answer(exchange, generation, voice, admission.grant, fields=fields, body=body)
