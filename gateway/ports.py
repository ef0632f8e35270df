"""The seams of the gateway: small protocols, declared for their consumers.

Every adapter of a port passes the contract suite of that port in `tests/contracts/`. Errors of drivers never cross a
port; an adapter raises only what stands here.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.alert_ports import AlertStore as AlertStore
from gateway.alert_ports import KeptAlerts as KeptAlerts
from gateway.alert_ports import Outbox as Outbox
from gateway.domain.affinity import Affinity
from gateway.domain.denial import Denial, Reason
from gateway.domain.enforcement import Enforced
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Grant, Rate
from gateway.domain.outcome import Outcome
from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.routes import Route
from gateway.domain.streams import Condemn, StreamReport
from gateway.domain.timeouts import Timeouts
from gateway.eager import Signal
from gateway.store_ports import AuditReading as AuditReading
from gateway.store_ports import AuditTrail as AuditTrail
from gateway.store_ports import Conflict as Conflict
from gateway.store_ports import KeyFinder as KeyFinder
from gateway.store_ports import KeyRows as KeyRows
from gateway.store_ports import KeyStore as KeyStore
from gateway.store_ports import R as R
from gateway.store_ports import Record as Record
from gateway.store_ports import RequestLog as RequestLog
from gateway.store_ports import StoreUnavailable as StoreUnavailable
from gateway.store_ports import Write as Write
from gateway.usage_ports import KeptUsage as KeptUsage
from gateway.usage_ports import UsageStore as UsageStore


class LimiterUnavailable(Exception):
    """The limiter could not count; nothing was charged. The text is for the log."""


class Clock(Protocol):
    """Time. The wall clock decides expiry and quotas, the monotonic one everything that measures."""

    def now(self) -> float:
        """Return epoch seconds (UTC)."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""


class Limiter(Protocol):
    """Counts requests against their claims.

    `acquire` is one atomic act for all claims of a request: all are charged or none. An adapter in memory answers at
    once; a remote one returns an awaitable of the same value.
    """

    def acquire(self, claims: Sequence[Claim]) -> Grant | Awaitable[Grant]:
        """Draw one request from every claim. Raises `LimiterUnavailable`; then nothing was drawn."""
        ...

    def look(self, claims: Sequence[Claim]) -> Grant | None:
        """Tell how the buckets stand without drawing on them; None when that would mean to wait."""
        ...

    def release(self, grant: Grant) -> None:
        """Give back the concurrency that `grant` holds. Never awaits, never raises."""
        ...


class Throttle(Protocol):
    """Slows down addresses whose authentication keeps failing."""

    def retry_after(self, address: str) -> int:
        """Return 0 if `address` may try, else the whole seconds that it has to wait (at least 1)."""
        ...

    def failed(self, address: str) -> int:
        """Count one failed authentication; return 0, or the seconds to wait where it was one too many to be counted."""
        ...

    def standing(self, address: str) -> tuple[int, int, int]:
        """Return the failures allowed per window, those left, and the seconds until all are allowed again."""
        ...

    def look(self, address: str) -> tuple[Rate, int] | None:
        """Return the rule for failures and the level of `address`; None when that would mean to wait."""
        ...


class Headcount(Protocol):
    """Counts the open connections of each client, in all processes that serve the same clients."""

    def enter(self, who: str, maximum: int) -> bool:
        """Count one connection of `who`; False when `maximum` are open, and nothing is counted."""
        ...

    def leave(self, who: str) -> None:
        """A connection that was counted for `who` is closed."""
        ...


class Recorder(Protocol):
    """Is told about every finished request. Never awaits, never raises, never blocks."""

    def record(self, outcome: Outcome) -> None: ...


Enforce = Callable[[Collection[str], Condemn | None], Awaitable[Enforced]]
"""Told the ids of keys and tenants that were changed, and what the change condemns of the requests under way.

Returns when nobody serves by what was before. Never raises.
"""

Invalidate = Callable[[Iterable[str]], Awaitable[object]]
"""Told the ids of keys and tenants whose bound form is no longer true; done when nobody serves by it any more."""


class Source(Protocol):
    """Where content comes from; a sink that is full pauses it."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Sink(Protocol):
    """Where content goes: the request body to an upstream, the response body to a client. Framing is the sink's own."""

    def write(self, content: bytes) -> None:
        """Pass on content; empty content sends a head that waits for some."""
        ...

    def finish(self) -> None:
        """End the message: everything was written."""
        ...

    def abort(self, ended: str) -> None:
        """End the message so that its reader sees that it is not whole. `ended` as in `Outcome`."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """Why there is no response.

    `internal` is for the log. `is_unsent` tells that the upstream cannot have seen the request; `is_unanswered` that
    not one byte of a response came, so that an idempotent request may be sent again (RFC 9110 section 9.2.2).
    `retry_after_seconds` is 0 when nobody knows better.
    """

    reason: Reason
    internal: str
    is_unsent: bool = False
    is_unanswered: bool = False
    retry_after_seconds: int = 0


class Connection(Sink, Source, Protocol):
    """A connection to an upstream, held by one request. As a `Sink` it takes the request body."""

    target: str
    is_reused: bool
    answered: Signal[ResponseHead | UpstreamFailure]

    @property
    def is_open(self) -> bool:
        """Tell whether what is written leads anywhere."""
        ...

    def send(
        self,
        head: bytes,
        *,
        method: str,
        body: Source | None,
        is_chunked: bool,
        timeouts: Timeouts | None,
    ) -> None:
        """Send a request head; content follows through `write` and `finish`, which the caller also calls without any.

        `timeouts` None takes the upstream's.
        """
        ...

    def relay_to(self, sink: Sink) -> None:
        """Pass the content of the response to `sink`, as it comes; called once, after `answered`."""
        ...

    def cancel(self, failure: UpstreamFailure) -> None:
        """Give up: the connection is closed and `answered` is set to `failure` if nothing came yet."""
        ...


class Upstream(Protocol):
    """A named service with its targets.

    `base_path` is the raw prefix of every request path, without a trailing slash; `timeouts` hold where a route says
    nothing else. `affinity` tells by what it keeps requests together, if it does. `learns` tells whether `heard` has
    an effect; `retry_statuses` are the answers that may be dropped for another attempt.
    """

    name: str
    base_path: bytes
    timeouts: Timeouts
    affinity: Affinity | None
    learns: bool
    retry_statuses: frozenset[int]

    def host_for(self, authority: bytes, target: str = "") -> bytes:
        """Return the `Host` value to send to `target` for a request that came with `authority`.

        Empty when it depends on the target and none is named.
        """
        ...

    def connect(
        self, affinity: bytes = b"", timeouts: Timeouts | None = None
    ) -> Connection | UpstreamFailure | Future[Any]:
        """Return an idle connection at once, or the future of a new one (a connection or a failure).

        `timeouts` None takes the upstream's.
        """
        ...

    def reconnect(
        self, tried: Collection[str], affinity: bytes = b"", timeouts: Timeouts | None = None
    ) -> Connection | UpstreamFailure | Future[Any]:
        """Return the future of a connection that was never used, to a target not in `tried` if there is one."""
        ...

    def may_retry(self, cause: str, sent: int, tried: Collection[str]) -> bool:
        """Tell whether a request that was sent `sent` times, to the targets `tried`, is sent again; count it if so.

        `cause` is `unsent`, `stale` (a kept connection had ended), `reset`, `timeout` or `status`. The caller has
        proved that another attempt is safe.
        """
        ...

    def heard(self, target: str, status: int) -> None:
        """Take note of an answer of `target`."""
        ...

    def failed(self, target: str, failure: UpstreamFailure) -> None:
        """Take note that a request to `target` got no answer."""
        ...


class Progress(Protocol):
    """How far the story of a request came: when it began (monotonic seconds), and what is known of it since."""

    started: float
    route: Route | None
    key: BoundKey | None


class Exchange(Sink, Source, Protocol):
    """The downstream side of one request. As a `Sink` it takes the content of the response.

    `request_id` is what the answer, the upstream and the log carry; `trace_id` 32 lower-case hexadecimal digits;
    `client_network` is the client address folded to what one customer owns, for throttling;
    `forwarded` the ready lines that tell the upstream where the request came from. `progress` is set by the story as
    its first act, so that a request that goes on can be found by its key.
    """

    head: RequestHead
    malformed: Denial | None
    request_id: bytes
    trace_id: bytes
    client_address: str
    client_network: str
    forwarded: bytes
    finished: Signal[str]
    progress: Progress | None
    request_bytes: int
    response_bytes: int

    @property
    def failure(self) -> UpstreamFailure | None:
        """Why it was given up, if it was."""
        ...

    @property
    def is_gone(self) -> bool:
        """Tell whether nobody waits for an answer any more."""
        ...

    @property
    def peer_address(self) -> str:
        """The address of the connection's other end, which may be a proxy."""
        ...

    @property
    def keeps_trace(self) -> bool:
        """Tell whether a trace that came with the request goes on; else a new one begins."""
        ...

    @property
    def is_begun(self) -> bool:
        """Tell whether any of the response was sent."""
        ...

    def closing_fields(self, *, must_close: bool = False) -> bytes:
        """Return the `Connection` line that the response needs, or nothing; decides whether the connection is kept.

        `must_close`: only the end of the connection tells the end of the content.
        """
        ...

    def answer(self, head: bytes, body: bytes) -> None:
        """Send a whole response of our own."""
        ...

    def begin(self, head: bytes, *, is_chunked: bool, connection: Connection) -> None:
        """Send the head of a relayed response; content of `connection` follows through `write` and `finish`."""
        ...

    def tunnel(self, head: bytes, connection: Connection) -> None:
        """Send a 101 head and pass every later byte in both directions."""
        ...

    def stream_body_to(self, connection: Connection, *, bytes_max: int) -> None:
        """Pass the request body to `connection`, what has come already and what comes later."""
        ...


class Streams(Protocol):
    """What is open now."""

    async def listed(self) -> Sequence[StreamReport]:
        """Return the streams: what is one by its nature, and whatever has gone on for a second."""

    async def cut(self, condemn: Condemn) -> int:
        """End every request that `condemn` gives a reason for, however young; return how many.

        `condemn` is an object of a class of this package, because copies of it may be asked in other processes.
        Whoever takes a key's rights away makes that known to authentication first. Then nothing begins under them that
        this does not see, and when it returns, none of what it saw passes another byte of content. It takes 40 us for
        each stream and lets others have their turn after every 64.
        """


class Watched(Protocol):
    """Something with a deadline (event-loop time in seconds, `inf` for none)."""

    deadline: float

    def expire(self) -> None:
        """Is called once the deadline has passed; sets a later one or unwatches itself."""


class Deadlines(Protocol):
    """Looks at everything that waits for a peer, about once a second. Moving a deadline costs one assignment."""

    def watch(self, watched: Watched) -> None: ...

    def unwatch(self, watched: Watched) -> None: ...
