"""Trace context (W3C Trace Context, section 2): the trace that a client's request belongs to, and our spans in it.

Knows how a trace is named on the wire, which requests are traced, and under which ids. An id is made of no randomness
of its own: each request has 32 hexadecimal digits, which name a trace that begins here and, in halves, our two spans.
So what an upstream was told while it was asked, and what is exported when the request has ended, agree without being
kept in between. It must not know who exports spans, nor how.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.domain.request import RequestHead

_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_TRACEPARENT_BYTES: Final = 55
_SAMPLED: Final = 1
"""The one flag of version 00."""

_EVERYTHING: Final = b"g"
"""Greater than every hexadecimal digit."""


class GivenTrace:
    """The trace that a client's request belongs to. `lines` are its fields as they came, `states` those of
    `tracestate` alone; each line ends in CRLF.
    """

    __slots__ = ("is_sampled", "lines", "parent_id", "states", "trace_id")

    def __init__(self, parent: bytes, states: bytes) -> None:
        self.trace_id = parent[3:35]
        self.parent_id = parent[36:52]
        self.is_sampled = bool(int(parent[53:55], 16) & _SAMPLED)
        self.lines = b"traceparent: %b\r\n%b" % (parent, states)
        self.states = states


def given_trace(head: RequestHead) -> GivenTrace | None:
    """Return the trace of the client's request, None without a valid `traceparent`.

    Who does not change `traceparent` must not change `tracestate` (W3C Trace Context, sections 3.4 and 3.5), so it is
    not cut to any length; without the former it means nothing and is dropped.
    """
    parents = head.values(b"traceparent")
    if len(parents) != 1 or b"traceparent" in head.connection_options:
        return None
    value = known = parents[0]
    if value[:2] != b"00" and value[_TRACEPARENT_BYTES : _TRACEPARENT_BYTES + 1] == b"-":
        # A later version may append members after the four of version 00 (W3C Trace Context, section 3.2.4).
        known = value[:_TRACEPARENT_BYTES]
    if not _TRACEPARENT.fullmatch(known):
        return None
    states = head.values(b"tracestate") if b"tracestate" not in head.connection_options else []
    return GivenTrace(value, b"".join([b"tracestate: %b\r\n" % state for state in states if state]))


class Spans:
    """The places of one request in its trace, as lower-case hexadecimal digits.

    `parent_id` is the client's span, empty where the trace begins here; `server_id` our span of the request;
    `client_id` that of what the upstream was asked, and so the parent that the upstream was told of.
    """

    __slots__ = ("client_id", "parent_id", "server_id", "trace_id")

    def __init__(self, own_id: bytes, given: GivenTrace | None) -> None:
        self.trace_id = own_id if given is None else given.trace_id
        self.parent_id = b"" if given is None else given.parent_id
        self.client_id = own_id[:16]
        self.server_id = own_id[16:]


class Sampler:
    """Decides which requests are traced: one of a client's trace if that trace is, of the others a share (0 to 1)."""

    __slots__ = ("_bound",)

    def __init__(self, ratio: float) -> None:
        self._bound = _EVERYTHING if ratio >= 1 else b"%016x" % int(ratio * 2**64)

    def spans(self, own_id: bytes, given: GivenTrace | None) -> Spans | None:
        """Return the spans of a request, None if it is not traced. `own_id` are its 32 digits."""
        # Sixteen hexadecimal digits are in the order of the numbers that they spell.
        if given.is_sampled if given is not None else own_id[16:] < self._bound:
            return Spans(own_id, given)
        return None


class Trace:
    """What an upstream is told of the trace of requests with one head; `sampler` None: we have no spans of our own."""

    __slots__ = ("_given", "_sampler")

    def __init__(self, given: GivenTrace | None, sampler: Sampler | None) -> None:
        self._given = given
        self._sampler = sampler

    def lines(self, own_id: bytes, *, goes_on: bool) -> bytes:
        """Return lines ending in CRLF; the client's trace is believed if it `goes_on`, else a new one begins.

        A trace of which we have no span passes as it came: its next span has a parent that somebody exports.
        """
        given = self._given if goes_on else None
        spans = None if self._sampler is None else self._sampler.spans(own_id, given)
        if spans is not None:
            states = b"" if given is None else given.states
            return b"traceparent: 00-%b-%b-01\r\n%b" % (spans.trace_id, spans.client_id, states)
        if given is not None:
            return given.lines
        return b"traceparent: 00-%b-%b-00\r\n" % (own_id, own_id[:16])


def trace_of(head: RequestHead, sampler: Sampler | None) -> Trace | None:
    """Return what is told of the trace of requests with `head`; None where each begins one that nobody samples."""
    given = given_trace(head)
    return None if given is None and sampler is None else Trace(given, sampler)
