"""The proof that a request may be sent again.

Knows which requests do no harm when they arrive twice. It must not know targets beyond their names, nor how often one
may try: that is the upstream's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.ports import Connection, Exchange, Upstream, UpstreamFailure

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2; TRACE is never routed."""


class Attempts:
    """The attempts at one request that failed, and the proof that another is safe.

    `tried` are the targets that were asked; `timeouts` hold for the next attempt: all of them share one total.
    """

    __slots__ = ("_ends", "_exchange", "_head", "_sent", "_upstream", "timeouts", "tried")

    def __init__(
        self,
        head: RequestHead,
        exchange: Exchange,
        upstream: Upstream,
        timeouts: Timeouts | None,
        started: float,
    ) -> None:
        self.tried: list[str] = []
        self.timeouts = timeouts or upstream.timeouts
        self._ends = started + self.timeouts.total_seconds if self.timeouts.total_seconds else 0.0
        self._sent = 0
        self._upstream = upstream
        self._exchange = exchange
        self._head = head

    def may_go_on(
        self, answer: ResponseHead | UpstreamFailure, connection: Connection, now: float
    ) -> bool:
        """Take note that `connection` gave `answer`; tell whether there may be another attempt, and give it up then.

        A request of which nothing was sent may always be sent. Else the method must be idempotent, so that a second
        time does no more than the first (RFC 9110 section 9.2.2); there must be no body, which would have to be kept
        to be sent again; and nothing of an answer may have come, or it is one that the upstream's rules let us drop
        as a whole.
        """
        self.tried.append(connection.target)
        if isinstance(answer, ResponseHead):
            self._upstream.heard(connection.target, answer.status)
        else:
            self._upstream.failed(connection.target, answer)
        if not self._is_allowed(_cause(answer, connection), now):
            return False
        connection.cancel(UpstreamFailure(Reason.UPSTREAM_BAD_RESPONSE, "another target is asked"))
        return True

    def _is_allowed(self, cause: str, now: float) -> bool:
        if not cause or self._exchange.is_gone or not self._has_time(now):
            return False
        if cause != "unsent":
            self._sent += 1
            if self._head.method not in _IDEMPOTENT or self._head.body_length:
                return False
        return self._upstream.may_retry(cause, self._sent, self.tried)

    def _has_time(self, now: float) -> bool:
        """Leave the next attempt what is left of the total; tell whether something is."""
        if not self._ends:
            return True
        left = self._ends - now
        self.timeouts = replace(self.timeouts, total_seconds=left)
        return left > 0


def _cause(answer: ResponseHead | UpstreamFailure, connection: Connection) -> str:
    """Return what an attempt failed of, as `Upstream.may_retry` wants it; empty if it cannot be undone."""
    if isinstance(answer, ResponseHead):
        return "status"
    if answer.is_unsent:
        return "unsent"
    if not answer.is_unanswered:
        return ""
    if answer.reason is Reason.UPSTREAM_TIMEOUT:
        return "timeout"
    return "stale" if connection.is_reused else "reset"
