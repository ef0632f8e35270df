"""A named upstream service: which target serves the next request, and what is learnt from how that went.

Knows the order in which targets are tried, the breaker and the budget of retries. It must not know what is sent, nor
whether it may be sent twice: that is the pipeline's to prove.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from math import ceil
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.ports import UpstreamFailure
from gateway.upstreams.breaker import Breaker, BreakerState
from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.dialer import Dial, Turn
from gateway.upstreams.retry_budget import RetryBudget
from gateway.upstreams.roster import Roster
from gateway.upstreams.settings import Settings
from gateway.upstreams.target import Address, Target

_log = logging.getLogger(__name__)

Found = UpstreamConnection | UpstreamFailure | Turn
"""A connection at once, a failure at once, or the future of either."""

UNSENT_ATTEMPTS_MAX: Final = 3
"""How often a connection may turn out to be closed before anything was sent on it."""

_ILL: Final = frozenset(
    {Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_BAD_RESPONSE, Reason.UPSTREAM_TIMEOUT}
)
"""The failures that say something about a target; to be busy is none."""


class Service:
    """Implements `ports.Upstream`.

    `make` makes a target of an address; `random` returns numbers from 0 to 1 (1 excluded); `on_retry` is called for
    each retry. `requests` counts all that ever came.
    """

    def __init__(
        self,
        name: str,
        addresses: Mapping[Address, int],
        *,
        make: Callable[[Address], Target],
        settings: Settings,
        dial: Dial,
        loop: asyncio.AbstractEventLoop,
        random: Callable[[], float],
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """Take the weights of the targets by their addresses."""
        self.name = name
        self.settings = settings
        self.base_path = settings.base_path
        self.timeouts = settings.timeouts
        self.retry_statuses = settings.retry.statuses
        self.affinity = settings.affinity
        self.breaker = None if settings.breaker is None else Breaker(settings.breaker, loop.time())
        self.learns = False
        self.requests = 0
        self.retries = 0
        self.roster = Roster(
            name, settings, loop=loop, random=random, on_change=self._roster_changed
        )
        self._make = make
        self._dial = dial
        self._time = loop.time
        self._on_retry = on_retry
        self._only: Target | None = None
        self._is_draining = False
        self._budget = RetryBudget(
            share=settings.retry.share,
            per_second_min=settings.retry.per_second_min,
            now=loop.time(),
        )
        self.retarget(addresses)

    # ---- the targets

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets that requests may go to."""
        return self.roster.targets

    @property
    def is_up(self) -> bool:
        """Tell whether requests should be sent here."""
        is_open = self.breaker is not None and self.breaker.state is BreakerState.OPEN
        return not is_open and any(target.health.is_usable for target in self.targets)

    def retarget(self, addresses: Mapping[Address, int]) -> None:
        """Send requests to `addresses` from now on, each with its weight.

        Targets whose address stays keep their connections and what is known of them; those of other addresses finish
        the requests that they have. New ones warm up, but for the very first.
        """
        known = {target.address: target for target in self.targets}
        is_first = not known
        targets = []
        for address, weight in addresses.items():
            target = known.get(address)
            if target is None:
                target = self._make(address)
                if not is_first:
                    target.health.warm_up(self._time())
                if self._is_draining:
                    target.drain()
            target.weight = weight
            targets.append(target)
        self.roster.replace(targets)

    def _roster_changed(self) -> None:
        """Let the common case, one target and nothing to learn, cost nothing."""
        targets = self.targets
        self.learns = self.breaker is not None or len(targets) > 1
        is_plain = not self.learns and self.roster.picker is not None
        self._only = targets[0] if is_plain else None

    # ---- connections

    def host_for(self, authority: bytes, target: str = "") -> bytes:
        """Return the `Host` value to send to `target` for a request that came with `authority`.

        Empty when it depends on the target and none is named.
        """
        if not self.settings.has_own_host:
            return self.settings.host or authority
        everybody = (*self.targets, *self.roster.leaving)
        return next((each.authority for each in everybody if each.label == target), b"")

    def connect(self, affinity: bytes = b"", timeouts: Timeouts | None = None) -> Found:
        """Return an idle connection at once, or the future of a new one."""
        self.requests += 1
        target = self._only
        if target is None:
            return self._choose(affinity, timeouts)
        return target.take_idle() or target.connect(timeouts)

    def _choose(self, affinity: bytes, timeouts: Timeouts | None) -> Found:
        if self.breaker is not None and (wait := self.breaker.wait(self._time())):
            return UpstreamFailure(
                Reason.CIRCUIT_OPEN,
                f"{self.name}: the breaker is {self.breaker.state}",
                is_unsent=True,
                retry_after_seconds=ceil(wait),
            )
        picker = self.roster.picker
        if picker is None:
            return self._nobody()
        target = picker.pick(affinity)
        return target.take_idle() or self._dial(self._connect_any(target, affinity, timeouts, []))

    def reconnect(
        self, tried: Collection[str], affinity: bytes = b"", timeouts: Timeouts | None = None
    ) -> Found:
        """Return the future of a new connection, to a target that is not in `tried` if there is one.

        It is never an idle one: what ended the last connection may have ended those too.
        """
        picker = self.roster.picker
        if picker is None:
            return self._nobody()
        target = picker.pick_other(affinity, tried) or picker.pick(affinity)
        return self._dial(self._connect_any(target, affinity, timeouts, [*tried]))

    async def _connect_any(
        self, target: Target, affinity: bytes, timeouts: Timeouts | None, tried: list[str]
    ) -> UpstreamConnection | UpstreamFailure:
        """Try `target` and then every other one once: nothing was sent, so that is safe for any request."""
        total = (timeouts or self.timeouts).total_seconds
        deadline = self._time() + total if total else float("inf")
        may_be_idle = not tried
        following: Target | None = target
        while following is not None:
            target = following
            # Whoever stops us must not cancel the turn: the target still means to serve it.
            found = await asyncio.shield(target.connect(timeouts))
            if isinstance(found, UpstreamConnection):
                return found
            self.failed(target.label, found)
            tried.append(target.label)
            picker = self.roster.picker
            has_time = picker is not None and self._time() < deadline
            following = picker.pick_other(affinity, tried) if picker and has_time else None
            if following is not None and may_be_idle and (idle := following.take_idle()):
                return idle
        return found

    def _nobody(self) -> UpstreamFailure:
        internal = f"{self.name}: no target is left"
        return UpstreamFailure(Reason.NO_HEALTHY_UPSTREAM, internal, is_unsent=True)

    # ---- what came of it

    def heard(self, target: str, status: int) -> None:
        """Take note of an answer."""
        settings = self.settings
        if self.breaker is not None:
            if status in settings.breaker_statuses:
                self._count_failure(self.breaker)
            else:
                self._count_success(self.breaker)
        known = self.roster.by_label.get(target)
        if known is None:
            return
        if status in settings.ejection.statuses:
            self.roster.failed(known, f"{target}: answered {status}")
        elif known.health.is_suspect:
            known.health.succeeded()

    def failed(self, target: str, failure: UpstreamFailure) -> None:
        """Take note of a failure; those that are not the target's doing count for nothing."""
        if failure.reason not in _ILL:
            return
        if self.breaker is not None:
            self._count_failure(self.breaker)
        known = self.roster.by_label.get(target)
        if known is not None and self.learns:
            self.roster.failed(known, failure.internal)

    def _count_failure(self, breaker: Breaker) -> None:
        if breaker.failed(self._time()):
            _log.warning("upstream %s: too many requests fail, the breaker opens", self.name)

    def _count_success(self, breaker: Breaker) -> None:
        was = breaker.state
        breaker.succeeded(self._time())
        if breaker.state is not was:
            _log.info("upstream %s: requests succeed again, the breaker closes", self.name)

    def may_retry(self, cause: str, sent: int, tried: Collection[str]) -> bool:
        """Tell whether a request that was sent `sent` times, to the targets `tried`, is sent again; pay if so.

        The same target is asked again only after a kept connection that had ended: an end of a fresh one, or silence,
        says something about the target or the request and not about the connection.
        """
        rules = self.settings.retry
        if cause == "unsent":
            return len(tried) < UNSENT_ATTEMPTS_MAX
        if sent >= rules.attempts:
            return False
        if cause != "stale" and not (cause in rules.causes and self.roster.has_other(tried)):
            return False
        if self.breaker is not None and self.breaker.state is not BreakerState.CLOSED:
            return False
        if not self._budget.take(self.requests, self._time()):
            return False
        self.retries += 1
        if self._on_retry is not None:
            self._on_retry()
        return True

    # ---- the end

    @property
    def is_empty(self) -> bool:
        """Tell whether no connection is left, and nobody who waits for one."""
        return self.roster.is_empty

    def drain(self) -> None:
        """Keep no connection from now on; requests that have one, and late ones, end in peace."""
        self._is_draining = True
        self.roster.close()
        for target in self.targets:
            target.drain()

    async def emptied(self) -> None:
        """Return when no connection is left; call `drain` before."""
        await self.roster.emptied()

    def close(self) -> None:
        """Close every connection."""
        self.roster.close()
        for target in (*self.targets, *self.roster.leaving):
            target.close()
