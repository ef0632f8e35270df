"""The peers of a request that is only rehearsed: nothing is counted, drawn, forwarded or recorded.

Knows how each port of the pipeline answers when it is looked at and not used, so that the story of `handle` can be told
as it is, to its end. It must not know what anybody wants to learn from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from gateway.domain.affinity import Affinity
from gateway.domain.bucket import REFUSED, TokenBucket
from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Grant, Rate
from gateway.domain.outcome import Outcome
from gateway.domain.rehearsal import rehearse
from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.eager import Signal
from gateway.ports import Connection, Limiter, Progress, Sink, Source, Throttle, UpstreamFailure

REQUEST_ID: Final = b"req_" + b"0" * 32
"""The id of a request that was never sent."""

_TRACE_ID: Final = b"0" * 32
_NOTHING: Final = ResponseHead(status=200)
"""What no upstream has said: only the fields that the gateway adds to it are of interest."""


class RehearsedLimiter:
    """Implements `ports.Limiter`: looks at the buckets of `real` and works out what a draw would do to them.

    `before` and `after` are the levels of each bucket that was asked for; `is_known` is False when `real` could not
    tell without waiting. Then nothing is taken to be limited.
    """

    def __init__(self, real: Limiter, epoch: Callable[[], float]) -> None:
        self._limiter = real
        self._epoch = epoch
        self.is_known = True
        self.before: dict[str, int] = {}
        self.after: dict[str, int] = {}

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        """Tell what a draw would come to."""
        levels = self._levels(claims)
        if levels is None:
            return Grant(())
        grant = rehearse(claims, levels, self._epoch())
        self.before.update(zip(_names(claims), levels, strict=True))
        self.after.update(zip(_names(claims), grant.levels, strict=True))
        return grant

    def look(self, claims: Sequence[Claim]) -> Grant | None:
        """Tell how the buckets would stand."""
        levels = self._levels(claims)
        return None if levels is None else Grant.admit(claims, levels, (), self._epoch())

    def release(self, _: Grant) -> None:
        """Do nothing: nothing was drawn."""

    def _levels(self, claims: Sequence[Claim]) -> list[int] | None:
        found = self._limiter.look(claims)
        if found is None:
            self.is_known = False
            return None
        pairs = zip(claims, found.levels, strict=True)
        return [self.after.get(claim.bucket, level) for claim, level in pairs]


def _names(claims: Sequence[Claim]) -> list[str]:
    return [claim.bucket for claim in claims]


class RehearsedThrottle:
    """Implements `ports.Throttle` for one address: its failures are counted here and nowhere else."""

    def __init__(self, real: Throttle, address: str) -> None:
        found = real.look(address)
        self.is_known = found is not None
        rule, level = found if found is not None else (_UNLIMITED, 0)
        self._bucket = TokenBucket(rule)
        self._bucket.paid_at = level

    def retry_after(self, _: str) -> int:
        """Return 0 if the address may try, else the seconds to wait."""
        return self._bucket.wait_seconds(0)

    def failed(self, _: str) -> int:
        """Count one failure here; return 0, or the seconds to wait where it was one too many."""
        return self._bucket.wait_seconds(0) if self._bucket.draw(0) == REFUSED else 0

    def standing(self, _: str) -> tuple[int, int, int]:
        """Return the failures allowed per window, those left, and the seconds until all are allowed again."""
        rule, level = self._bucket.rule, self._bucket.level(0)
        return rule.limit, rule.remaining(level), rule.reset_seconds(level)

    def look(self, _: str) -> tuple[Rate, int]:
        """Return the rule for failures and the level of the address."""
        return self._bucket.rule, self._bucket.level(0)


_UNLIMITED: Final = Rate(name="failures", limit=1, window_seconds=1, burst=1)
"""What an address is judged by while its failures cannot be looked at."""


class PresentedKey:
    """Implements `authenticate.Keys` for one request that bears one key, whatever stands for its secret.

    `known` is the key if it is in memory already; else it is looked up by `find`, as that of a request would be, and in
    memory from then on.
    """

    def __init__(
        self, known: BoundKey | None, find: Callable[[], Awaitable[BoundKey | None]]
    ) -> None:
        self.key = known
        self._find = find

    def peek(self, _: bytes) -> object:
        """Return the key, or something else when a look-up is needed."""
        return self if self.key is None else self.key

    async def find(self, _: Sequence[tuple[str, bytes]]) -> BoundKey | None:
        """Look the key up. Raises `StoreUnavailable`."""
        self.key = await self._find()
        return self.key


class RehearsedRecorder:
    """Implements `ports.Recorder`: keeps what became of the one request."""

    outcome: Outcome

    def record(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        self.outcome = outcome


class RehearsedUpstream:
    """Implements `ports.Upstream`: every request is answered with nothing, at once.

    `line` is the request line that was sent here; empty if none was.
    """

    retry_statuses: frozenset[int] = frozenset()

    def __init__(self, name: str, base_path: bytes = b"") -> None:
        self.name = name
        self.base_path = base_path
        self.timeouts = Timeouts()
        self.affinity: Affinity | None = None
        self.learns = False
        self.line = b""

    def host_for(self, authority: bytes, _target: str = "") -> bytes:
        """Return the client's `Host`: what is sent is not shown."""
        return authority

    def connect(self, _affinity: bytes = b"", _timeouts: Timeouts | None = None) -> Connection:
        """Return a connection that leads nowhere."""
        return _RehearsedConnection(self)

    def reconnect(
        self, _tried: Collection[str], _affinity: bytes = b"", _timeouts: Timeouts | None = None
    ) -> Connection:
        """Return another one."""
        return _RehearsedConnection(self)

    def may_retry(self, _cause: str, _sent: int, _tried: Collection[str]) -> bool:
        """Refuse: no attempt fails here."""
        return False

    def heard(self, _target: str, _status: int) -> None:
        """Learn nothing."""

    def failed(self, _target: str, _failure: UpstreamFailure) -> None:
        """Learn nothing."""


class _RehearsedConnection:
    """Implements `ports.Connection`."""

    target = ""
    is_reused = False
    is_open = True

    def __init__(self, upstream: RehearsedUpstream) -> None:
        self.answered: Signal[ResponseHead | UpstreamFailure] = Signal()
        self._upstream = upstream

    def send(
        self,
        head: bytes,
        *,
        method: str,  # noqa: ARG002 - as in the port
        body: Source | None,  # noqa: ARG002
        is_chunked: bool,  # noqa: ARG002
        timeouts: Timeouts | None,  # noqa: ARG002
    ) -> None:
        """Keep the request line, and answer."""
        self._upstream.line = head.partition(b"\r\n")[0]
        self.answered.set(_NOTHING)

    def relay_to(self, sink: Sink) -> None:
        """End the answer."""
        sink.finish()

    def cancel(self, _: UpstreamFailure) -> None:
        """Do nothing: there is nothing to give up."""

    def write(self, _: bytes) -> None:
        """Do nothing: no body is sent."""

    def finish(self) -> None:
        """Do nothing."""

    def abort(self, _: str) -> None:
        """Do nothing."""

    def pause(self) -> None:
        """Do nothing: nothing comes."""

    def resume(self) -> None:
        """Do nothing."""


class RehearsedExchange:
    """Implements `ports.Exchange` for a client that does not exist; keeps what it would be answered.

    `answered` is the head and the body of an answer of the gateway's own, `begun` the head of one that it relays.
    """

    def __init__(
        self,
        head: RequestHead,
        malformed: Denial | None,
        *,
        client_address: str,
        client_network: str,
        peer_address: str = "",
        request_id: bytes = REQUEST_ID,
    ) -> None:
        self.head = head
        self.malformed = malformed
        self.request_id = request_id
        self.trace_id = _TRACE_ID
        self.client_address = client_address
        self.client_network = client_network
        self.forwarded = b""
        self.keeps_trace = False
        self.finished: Signal[str] = Signal()
        self.failure: UpstreamFailure | None = None
        self.progress: Progress | None = None
        self.is_gone = False
        self.request_bytes = 0
        self.response_bytes = 0
        self.answered: tuple[bytes, bytes] | None = None
        self.begun = b""
        self._peer_address = peer_address

    @property
    def peer_address(self) -> str:
        """The address of the connection's other end."""
        return self._peer_address

    @property
    def is_begun(self) -> bool:
        """Tell whether any of the response was sent."""
        return self.answered is not None or bool(self.begun)

    def closing_fields(self, *, must_close: bool = False) -> bytes:
        """Return the `Connection` line that the response needs, for a connection with nothing else on it."""
        if must_close or self.malformed is not None or not self.head.keeps_alive:
            return b"Connection: close\r\n"
        return b""

    def answer(self, head: bytes, body: bytes) -> None:
        """Keep a whole response of our own."""
        self.answered = head, body
        self.finished.set("complete")

    def begin(self, head: bytes, *, is_chunked: bool, connection: Connection) -> None:  # noqa: ARG002 - as in the port
        """Keep the head of a relayed response."""
        self.begun = head

    def tunnel(self, head: bytes, connection: Connection) -> None:
        """Keep the head of a 101, which nobody sends here."""
        self.begin(head, is_chunked=False, connection=connection)

    def stream_body_to(self, connection: Connection, *, bytes_max: int) -> None:
        """Do nothing: there is no body."""

    def write(self, _: bytes) -> None:
        """Do nothing: no content comes."""

    def finish(self) -> None:
        """End the response."""
        self.finished.set("complete")

    def abort(self, ended: str) -> None:
        """End the response early."""
        self.finished.set(ended)

    def pause(self) -> None:
        """Do nothing: nothing comes."""

    def resume(self) -> None:
        """Do nothing."""


def rehearsed_upstreams(
    choice: Mapping[tuple[str, str], tuple[str, bytes]],
) -> dict[tuple[str, str], RehearsedUpstream]:
    """Return stand-ins for the upstreams of `choice`: upstream and environment -> name and base path."""
    made: dict[tuple[str, bytes], RehearsedUpstream] = {}
    return {
        pair: made.setdefault(chosen, RehearsedUpstream(*chosen)) for pair, chosen in choice.items()
    }
