"""The last step where somebody else forwards: tell a proxy that it may let the request through, and as whom.

Knows what the proxy may copy: who the caller is, and how its limits stand. Every identity field is in the answer, empty
where there is nothing to say, so that a proxy which copies them overwrites what the client has sent. It must not know
proxies.
"""

from __future__ import annotations

from gateway.domain.denial import Denial
from gateway.pipeline.answer import answer
from gateway.pipeline.generation import Generation
from gateway.pipeline.values import Admission
from gateway.ports import Exchange


def approve(admission: Admission, exchange: Exchange, generation: Generation) -> int | Denial:
    """Answer 200 with the identity of the caller; return the status that was sent, 0 if nobody waits for it.

    A denial when the key was withdrawn while it was being judged.
    """
    if exchange.is_gone:
        return 0
    failure = exchange.failure
    if failure is not None:
        return Denial(reason=failure.reason, internal=failure.internal)
    principal = admission.permit.principal
    key, voice = principal.key, generation.voice(principal.match.route)
    identity = b"" if key is None else key.identity
    known = b"\r\n" + identity.lower()
    nothing = b"".join(
        [
            b"%b: \r\n" % name
            for name in generation.border.identity_names
            if b"\r\n%b:" % name.lower() not in known
        ]
    )
    return answer(exchange, generation, voice, admission.grant, fields=identity + nothing)
