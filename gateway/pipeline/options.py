"""Answers an OPTIONS that ends here: one about the server as a whole, or one that may not travel on.

Knows what such an answer says (RFC 9110 sections 7.6.2, 9.3.7 and 10.2.1). It must not know an upstream: nothing is
forwarded, so what it tells is what every client may know.
"""

from __future__ import annotations

from typing import Final

from gateway.pipeline.answer import answer
from gateway.pipeline.generation import Generation
from gateway.pipeline.values import Admission
from gateway.ports import Exchange

_EVERYWHERE: Final[tuple[str, ...]] = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""What a route without a list of methods lets through, of the methods that have a name everywhere."""


def options(admission: Admission | None, exchange: Exchange, generation: Generation) -> int:
    """Answer 200 with what the route allows, or the server for None; return the status, 0 if the client had left."""
    if exchange.is_gone:
        return 0
    route = None if admission is None else admission.permit.principal.match.route
    methods = (tuple(sorted(route.methods)) if route is not None else ()) or _EVERYWHERE
    fields = b"Allow: %b\r\n" % ", ".join(methods).encode("ascii")
    grant = None if admission is None else admission.grant
    return answer(exchange, generation, generation.voice(route), grant, fields=fields)
