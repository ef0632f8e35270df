"""Services behind the gateway: their targets, who gets the next request, and what happens when one fails."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.sections.base import FromText, Section
from gateway.config.sections.reach import ActiveHealth, Resolve, UpstreamTls
from gateway.config.sections.target import Target
from gateway.config.sections.values import (
    Count,
    Duration,
    DurationOrOff,
    FactorOrOff,
    Integer,
    Share,
)
from gateway.config.sections.wire import OptionalFieldName, UpstreamHost

ServerError = Annotated[Integer, Field(ge=500, le=599)]


class UpstreamTarget(Section):
    """One instance of a service; a bare URL stands for `url`."""

    url: Target
    """An `http://` or `https://host:port/base` URL or `http+unix:/path/of.sock`, with `:/base` after it
    if need be. A name stands for all of its addresses."""
    weight: Annotated[Count, Field(le=100)] = 1
    """Its share of the requests, relative to the other targets: 1 to 100."""


class UpstreamTimeout(Section):
    """How long an upstream may take."""

    connect: Duration = 2.0
    """Time to connect: on one network it is milliseconds, so 2 s means that nobody is there."""
    response_headers: Duration = 30.0
    """Time from the end of the request to the head of the answer (504 after it)."""
    idle: Duration = 60.0
    """Longest pause within an answer; a stream of events must send something more often."""
    total: DurationOrOff = 0.0
    """Time for the whole exchange. Off, because downloads and event streams have no natural end."""


class Affinity(Section):
    """What `balance: hash` keeps together on one target."""

    by: Literal["key", "tenant", "address", "header"] = "key"
    """Requests of one key with its replacements (`key`), one tenant, one client address, or one
    value of a header. A request without it goes by its client address."""
    header: OptionalFieldName = ""
    """The header for `by: header`."""
    load_max: FactorOrOff = 0.0
    """Most open requests of a target, as a multiple of its fair share; further ones go to the next
    target, so that one busy key cannot bury it. 1.25 is usual; off, because it breaks affinity."""


class Retry(Section):
    """When a failed request is sent to another target: only if it cannot have an effect twice."""

    attempts: Annotated[Count, Field(le=10)] = 2
    """Most times that a request is sent, the first time included; 1 switches retries off. Only
    GET, HEAD, OPTIONS, PUT and DELETE without a body are sent twice (RFC 9110 section 9.2.2).
    What could not be sent at all, such as a refused connection, does not count: any request then
    tries every target once."""
    on: tuple[Literal["reset", "timeout", 502, 503, 504], ...] = ("reset",)
    """What is worth another attempt: a connection that ended before any byte of an answer
    (`reset`), an answer that did not come in time (`timeout`, which doubles the wait), or a
    status, whose answer is then dropped. Only `reset`, because the others are often as bad on the
    next target. The same target is asked again only after a kept connection that had ended."""
    budget: Share = 0.2
    """Retries may add this share to the requests of the last 10 s, so that they cannot finish off
    a service that is failing anyway (the precedent of Finagle and Envoy)."""
    budget_per_second_min: Annotated[Integer, Field(ge=0, le=1000)] = 10
    """Retries per second that are allowed besides, for services with few requests (Finagle's)."""


class PassiveHealth(Section):
    """When a target is taken out because of what it does to requests (never the last one)."""

    failures: Annotated[Integer, Field(ge=0, le=10**6)] = 5
    """Failures in a row, 0 switches it off: it cannot be reached, does not answer in time, or answers no HTTP.
    Envoy's five; nginx takes a target out after the first, which one lost packet can cause."""
    statuses: tuple[ServerError, ...] = ()
    """Statuses that count as failures as well. None, because one broken route answers 500
    everywhere and would take out target after target."""
    ejection: Duration = 30.0
    """How long a target stays out the first time; the second time twice as long, and so on. When
    it returns, its first failure takes it out again."""
    ejection_max: Duration = 300.0
    """The longest that a target stays out."""
    share_max: Share = 0.7
    """Most targets that are out at a time; of two or more, one may always be. Envoy's tenth is for
    clusters of hundreds; here it would keep the second of three dead targets in."""


class Health(Section):
    """Which targets get requests."""

    active: ActiveHealth = Field(default_factory=ActiveHealth)
    """Asks every target regularly whether it works."""
    passive: PassiveHealth = Field(default_factory=PassiveHealth)
    """When a target is taken out because of what it does to requests."""
    panic: Literal["use_all", "refuse"] = "use_all"
    """What happens when no target is left: use all of them, whatever is known of them, or answer
    503. A check that is wrong about every target at once is more likely than that all are gone.
    Envoy panics below one half; in a group of three, the last one standing serves better."""


class Breaker(Section):
    """When an upstream gets no requests for a while, because too many fail."""

    error_ratio: Share = 0.0
    """Share of failed requests that opens it (503 `circuit_open`, with `Retry-After`); 0 switches
    it off. Off, because one failing route would close all others of the upstream; half is usual
    where an upstream fails as a whole."""
    statuses: tuple[ServerError, ...] = (502, 503, 504)
    """Statuses that count as failures, besides targets that do not answer."""
    window: Duration = 10.0
    """The time whose requests are counted."""
    min_requests: Count = 20
    """Fewer requests in the window open nothing: two failures out of three are no trend."""
    open: Duration = 10.0
    """How long it stays open before some requests may try."""
    probes: Annotated[Count, Field(le=1000)] = 3
    """Requests that may try; when all of them succeed it closes, when one fails it opens again."""


class Upstream(Section):
    """A service behind the gateway."""

    targets: tuple[Annotated[UpstreamTarget, FromText("url")], ...] = Field(min_length=1)
    """Instances, each a URL or a mapping; all share one base path."""
    balance: Literal["round_robin", "least_outstanding", "two_choices", "hash"] = "round_robin"
    """Who gets the next request: each in turn by weight (`round_robin`), the one with the fewest
    open requests (`least_outstanding`), the better of two taken at random (`two_choices`), or the
    same one for the same caller (`hash`)."""
    affinity: Affinity = Field(default_factory=Affinity)
    """What `balance: hash` keeps together."""
    slow_start: DurationOrOff = 0.0
    """How long the share of a target that comes in, or comes back, grows from a tenth to its
    weight, so that it can fill its caches. Not with `hash`."""
    host: UpstreamHost = "preserve"
    """The `Host` that the upstream sees: the client's (`preserve`), that of the target (`upstream`),
    or this text."""
    timeout: UpstreamTimeout = Field(default_factory=UpstreamTimeout)
    """How long an upstream may take."""
    retry: Retry = Field(default_factory=Retry)
    """When a failed request is sent to another target."""
    health: Health = Field(default_factory=Health)
    """Which targets get requests."""
    breaker: Breaker = Field(default_factory=Breaker)
    """When the upstream gets no requests for a while."""
    connections_max: Count = 512
    """Open connections per target; further requests wait for one, then get 503."""
    idle_connections_max: Count = 64
    """Connections per target that are kept open for the next request."""
    idle_lifetime: Duration = 55.0
    """How long an idle connection is kept: shorter than what backends do (60 s and more), so that a
    request never meets a connection that is being closed."""
    tls: UpstreamTls = Field(default_factory=UpstreamTls)
    """How `https://` targets are spoken to."""
    resolve: Resolve = Field(default_factory=Resolve)
    """How the names in `targets` are looked up."""
