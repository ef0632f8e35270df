"""Writes a 200 of the gateway's own, where no upstream is asked.

Knows what every such answer carries beside its own fields. It must not know what it says.
"""

from __future__ import annotations

from gateway.domain.limits import Grant
from gateway.domain.status import status_line
from gateway.pipeline.generation import Generation, Voice
from gateway.ports import Exchange


def answer(
    exchange: Exchange,
    generation: Generation,
    voice: Voice,
    grant: Grant | None,
    *,
    fields: bytes,
    body: bytes = b"",
) -> int:
    """Answer 200 with `fields` (whole lines) and `body`; return that status."""
    now = generation.clock.now()
    head = b"".join(
        (
            status_line(200),
            b"Content-Length: %d\r\n" % len(body),
            fields,
            voice.lines,
            voice.rate_headers.render(grant, 0, now),
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
