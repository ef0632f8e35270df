"""How long to wait before what died is started again.

Knows that one death is an accident and several in a row are a fault which haste makes worse. It must not know
what died.
"""

from __future__ import annotations

from typing import Final

CALM_SECONDS: Final = 10.0
"""Whoever lived that long did not die of how it was started."""

FIRST_SECONDS: Final = 0.25
LAST_SECONDS: Final = 30.0


class Backoff:
    """Counts early deaths in a row: after the first one the next start is at once, then after 0.25, 0.5, 1 ... 30 s."""

    def __init__(self) -> None:
        self.early_deaths = 0

    def died(self, lived_seconds: float) -> float:
        """Take note of a death; return the seconds to wait before the next start."""
        self.early_deaths = 1 if lived_seconds >= CALM_SECONDS else self.early_deaths + 1
        if self.early_deaths == 1:
            return 0.0
        return float(min(LAST_SECONDS, FIRST_SECONDS * 2 ** min(self.early_deaths - 2, 20)))
