"""Everything that one configuration means for a request, built as a whole and replaced as a whole.

Knows which parts the steps need; a request keeps the generation that it began with. It must not know how any part is
made: that is the assembly's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.domain.dialects.render import Dialect
from gateway.domain.http_date import DateLine
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Grant
from gateway.domain.outcome import Outcome
from gateway.domain.passage import Border
from gateway.domain.rate_headers import RateHeaders
from gateway.domain.routes import Route, RouteTable
from gateway.domain.trace_context import Sampler, Spans
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.represent import Representative
from gateway.ports import Clock, Limiter, Recorder, Throttle, Upstream

Introspect = Callable[[BoundKey, Grant | None, str], bytes]
"""Makes the body of an introspection answer: key, what the request drew, dialect name."""


def _nobody(_: Outcome) -> None:
    """Nobody listens."""


def _nobody_traces(_: Outcome, _spans: Spans) -> None:
    """Nobody keeps spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How the gateway speaks on a route: error dialect and rate-limit headers.

    `overwritten` are the lower-case names which only the gateway may set on a response. `lines` stand on every answer,
    each ended by CRLF.
    """

    dialect: Dialect
    rate_headers: RateHeaders
    overwritten: frozenset[bytes]
    lines: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One configuration, running.

    `voices` are keyed by route name, `""` being the default; `upstreams` by upstream name and environment, `""`
    standing for callers without a key. `barred` pairs an environment with a route's name. `problem` answers clients
    that ask for problem+json, None when that is switched off. Without `representative` every key is for its own tenant.
    `shadowed` is told of a request as soon as a rule in shadow mode would have refused it. Without `sampler` no
    request is traced; `traced` is told of those that were, at their end, and never raises.
    """

    number: int
    table: RouteTable
    authenticator: Authenticator
    representative: Representative | None = None
    barred: frozenset[tuple[str, str]]
    limiter: Limiter
    throttle: Throttle
    border: Border
    upstreams: Mapping[tuple[str, str], Upstream]
    voices: Mapping[str, Voice]
    problem: Dialect | None
    introspect: Introspect
    recorder: Recorder
    clock: Clock
    shadowed: Callable[[Outcome], None] = _nobody
    sampler: Sampler | None = None
    traced: Callable[[Outcome, Spans], None] = _nobody_traces
    dates: DateLine = field(default_factory=DateLine)

    def upstream(self, name: str, environment: str) -> Upstream:
        """Return the upstream that serves `name` for keys of `environment`."""
        return self.upstreams[name, environment]

    def voice(self, route: Route | None) -> Voice:
        """Return how to speak on `route`, or where no route matched."""
        return self.voices["" if route is None else route.name]
