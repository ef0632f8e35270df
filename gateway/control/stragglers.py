"""Workers that neither did what they were told nor could be ended, until they have or are gone.

A worker that does not answer is killed, which is its answer. What remains is a process that even SIGKILL does not end:
one that the kernel holds, waiting for a disk that is gone. Such a process runs nothing more, but nobody can see that,
so it is named until it is over. Knows how it is asked and killed again, and when that is enough. It must not know what
it was told.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, Final

from gateway.control.member import Member

_log = logging.getLogger(__name__)

OWED_MAX: Final = 100
"""Orders that are waited for one by one; from a worker that owes more, only its end is enough."""

REMIND_SECONDS: Final = 60.0
"""How often the log says that it still goes on."""


class Straggler:
    """One worker and what it owes: each message with the answer to come."""

    def __init__(self, member: Member, now: float) -> None:
        self.member = member
        self.since = now
        self.reminded = now
        self.must_end = False
        self._owed: list[tuple[object, asyncio.Future[Any]]] = []

    def owe(self, message: object) -> None:
        """Ask for one thing more."""
        if len(self._owed) >= OWED_MAX:
            self.must_end = True
            return
        self._owed.append((message, self.member.ask(message)))

    def try_again(self) -> bool:
        """Kill it, and ask anew for what it declined; return whether it is over."""
        if self.member.gone.is_set():
            return True
        self.member.signal(signal.SIGKILL)
        owed, self._owed = self._owed, []
        for message, answer in owed:
            if not answer.done():
                self._owed.append((message, answer))
            elif answer.cancelled() or answer.exception() is not None:
                self._owed.append((message, self.member.ask(message)))
        return not self._owed and not self.must_end


class Stragglers:
    """All of them; `try_again` is called about once a second by whoever owns this."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._all: dict[Member, Straggler] = {}

    @property
    def members(self) -> list[Member]:
        """Those who still owe something."""
        return [each for each in self._all if not each.gone.is_set()]

    def owe(self, member: Member, message: object) -> None:
        """Take note that `member` did not do what `message` says, and could not be ended."""
        found = self._all.get(member)
        if found is None:
            _log.error(
                "%s did not do what it was told and cannot be killed: it may still serve by what was before."
                " It is asked and killed again every second",
                member,
            )
            found = self._all[member] = Straggler(member, self._monotonic())
        found.owe(message)

    async def try_again(self) -> None:
        """Ask and kill everybody once more, and let go of whom it is over with."""
        now = self._monotonic()
        for member, straggler in [*self._all.items()]:
            if straggler.try_again():
                del self._all[member]
                how = "is gone" if member.gone.is_set() else "has done what it was told"
                _log.warning("%s %s, after %.1f s", member, how, now - straggler.since)
            elif now - straggler.reminded >= REMIND_SECONDS:
                straggler.reminded = now
                _log.error(
                    "%s has not done what it was told for %.0f s, and cannot be killed",
                    member,
                    now - straggler.since,
                )
