"""How many retries an upstream gets: a share of its requests, so that retries never finish off what is failing.

Knows counts and time, which are passed in. It must not know which requests may be retried.
"""

from __future__ import annotations

from typing import Final

WINDOW_SECONDS: Final = 10.0
"""What was not used expires after this time (the precedent of Finagle's budget)."""


class RetryBudget:
    """A balance of retries: requests pay in a share each, time pays in a minimum, a retry takes one out.

    It is looked at when a retry is wanted and never else, so requests pay nothing for it; they are taken to have come
    evenly since the last look. Times are seconds that never go back.
    """

    __slots__ = ("_balance", "_looked_at", "_per_second", "_requests", "_share")

    def __init__(self, *, share: float, per_second_min: float, now: float) -> None:
        self._share = share
        self._per_second = per_second_min
        self._balance = per_second_min * WINDOW_SECONDS
        self._looked_at = now
        self._requests = 0

    def take(self, requests: int, now: float) -> bool:
        """Take one retry out if there is one; `requests` is how many there have ever been."""
        elapsed = now - self._looked_at
        kept = max(0.0, 1.0 - elapsed / WINDOW_SECONDS)
        recent = min(1.0, WINDOW_SECONDS / elapsed) if elapsed > 0 else 1.0
        self._balance = (
            self._balance * kept
            + self._share * (requests - self._requests) * recent
            + self._per_second * min(elapsed, WINDOW_SECONDS)
        )
        self._looked_at = now
        self._requests = requests
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
