"""The targets of a service, and which of them should get requests.

Knows health and weights, and decides what only all targets together can decide: whether one may be ejected, and what
happens when none is left. It must not know requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final

from gateway.upstreams.balance import HashRing, LeastOutstanding, Picker, RoundRobin, TwoChoices
from gateway.upstreams.settings import Settings
from gateway.upstreams.target import Target

_log = logging.getLogger(__name__)

_NEVER: Final = float("inf")


class Roster:
    """Keeps `picker` true: made anew when a target comes, goes, falls ill, recovers or warms up.

    `picker` is None when nobody should get requests. `targets` are all that requests may go to, `leaving` those that
    were removed and still have some. Times are those of the loop.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        loop: asyncio.AbstractEventLoop,
        random: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.name = name
        self.targets: tuple[Target, ...] = ()
        self.leaving: set[Target] = set()
        self.by_label: dict[str, Target] = {}
        self.picker: Picker[Target] | None = None
        self.is_panicking = False
        self.ejections = 0
        self._settings = settings
        self._loop = loop
        self._random = random
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        self._is_empty: asyncio.Future[None] | None = None

    def replace(self, targets: Iterable[Target]) -> None:
        """Let requests go to `targets`; those that are no longer among them keep what they have and get no more."""
        before, self.targets = set(self.targets), tuple(targets)
        self.by_label = {target.label: target for target in self.targets}
        for target in before.difference(self.targets):
            self.leaving.add(target)
            target.on_probed = _ignore
            target.drain()
            self._left(target)
        for target in set(self.targets) - before:
            target.on_probed = self._probed
            target.on_empty = self._left
        self.settle()

    def settle(self) -> None:
        """Make the picker anew, and come back when the next target changes by itself."""
        now = self._loop.time()
        for target in self.targets:
            if target.health.settle(now):
                _log.info("upstream %s: %s returns on probation", self.name, target.label)
        usable = [target for target in self.targets if target.health.is_usable]
        is_panicking = bool(self.targets) and not usable
        if is_panicking and not self.is_panicking:
            _log.warning("upstream %s: no target is left", self.name)
        self.is_panicking = is_panicking
        if is_panicking and self._settings.panic_uses_all:
            usable = list(self.targets)
        self.picker = self._picker(usable, now) if usable else None
        self._arm(min((each.health.changes_at(now) for each in self.targets), default=_NEVER))
        self._on_change()

    def _picker(self, targets: list[Target], now: float) -> Picker[Target]:
        settings, random = self._settings, self._random
        weights = [float(target.weight) for target in targets]
        if settings.balance == "hash":
            return HashRing(targets, weights, settings.load_max)
        weights = [
            weight * target.health.share(now)
            for target, weight in zip(targets, weights, strict=True)
        ]
        if settings.balance == "two_choices":
            return TwoChoices(targets, weights, random)
        kind = LeastOutstanding if settings.balance == "least_outstanding" else RoundRobin
        return kind(targets, weights, int(random() * len(targets)))

    def has_other(self, tried: Collection[str]) -> bool:
        """Tell whether a target gets requests whose label is not in `tried`."""
        uses_all = self.is_panicking and self._settings.panic_uses_all
        return any(
            (each.health.is_usable or uses_all) and each.label not in tried for each in self.targets
        )

    def failed(self, target: Target, why: str) -> None:
        """Take note of a failure of `target`, and eject it if it deserves that and the others allow it."""
        if not target.health.failed() or not self._can_do_without(target):
            return
        now = self._loop.time()
        target.health.eject(why, now)
        self.ejections += 1
        seconds = target.health.ejected_until - now
        _log.warning("upstream %s: ejected for %.0f s: %s", self.name, seconds, why)
        self.settle()

    def _can_do_without(self, target: Target) -> bool:
        others = [each for each in self.targets if each is not target]
        if not any(each.health.is_usable for each in others):
            return False
        ejected = sum(1 for each in others if each.health.ejected_until)
        share = self._settings.ejection.share_max
        return not ejected or ejected + 1 <= share * len(self.targets)

    def _probed(self, target: Target) -> None:
        health = target.health
        if health.is_down:
            _log.warning("upstream %s: %s is down: %s", self.name, target.label, health.why)
        else:
            _log.info("upstream %s: %s is up again", self.name, target.label)
        self.settle()

    @property
    def is_empty(self) -> bool:
        """Tell whether no connection is left, and nobody who waits for one."""
        return not self.leaving and all(target.is_empty for target in self.targets)

    async def emptied(self) -> None:
        """Return when nothing is left."""
        while not self.is_empty:
            if self._is_empty is None:
                self._is_empty = self._loop.create_future()
            await asyncio.shield(self._is_empty)

    def _left(self, target: Target) -> None:
        """A target has nothing left, for the moment or for ever."""
        if target.is_empty:
            self.leaving.discard(target)
        if self._is_empty is not None and self.is_empty:
            self._is_empty.set_result(None)
            self._is_empty = None

    def _arm(self, moment: float) -> None:
        self.close()
        if moment < _NEVER:
            self._timer = self._loop.call_at(moment, self.settle)

    def close(self) -> None:
        """Come back no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _ignore(_: Target) -> None:
    """Do nothing: what a probe finds of a target that leaves is no news."""
