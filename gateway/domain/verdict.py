"""Whether a target is up, judged from the results of its probes.

Knows counts. It must not know what a probe is, nor time.
"""

from __future__ import annotations

from typing import Final

_FAILURES_COUNTED_MAX: Final = 1_000


class Verdict:
    """Goes up after `rise` good probes in a row and down after `fall` bad ones.

    Until the first good probe one alone decides, either way: nothing is known that it could contradict, and who starts
    together with its targets shall not wait for them longer than they take. `is_up` is None before the first probe.
    """

    __slots__ = ("_against", "_fall", "_rise", "failures_at_first", "has_been_up", "is_up")

    def __init__(self, *, rise: int, fall: int) -> None:
        self._rise = rise
        self._fall = fall
        self._against = 0
        self.is_up: bool | None = None
        self.has_been_up = False
        self.failures_at_first = 0

    def take(self, is_good: bool) -> bool:
        """Take the result of a probe; tell whether the verdict changed, which the first one does."""
        if not self.has_been_up:
            self.has_been_up = is_good
            self.failures_at_first = min(self.failures_at_first + 1, _FAILURES_COUNTED_MAX)
            return self._change(is_good)
        if is_good == self.is_up:
            self._against = 0
            return False
        self._against += 1
        return self._against >= (self._rise if is_good else self._fall) and self._change(is_good)

    def _change(self, is_up: bool) -> bool:
        was, self.is_up = self.is_up, is_up
        self._against = 0
        return was is not is_up
