"""How far a change has reached: who goes by it, since when, and what it ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """The reach of one change.

    From `effective_at` (epoch seconds) on no request begins under what held before, anywhere but in the processes named
    by `silent`, of which there are `of - acknowledged`. `seconds` passed from the commit until then. `streams_closed`
    counts requests that were under way and lost what had let them in.
    """

    effective_at: float
    acknowledged: int
    of: int
    seconds: float = 0.0
    silent: tuple[str, ...] = ()
    streams_closed: int = 0

    @property
    def is_everywhere(self) -> bool:
        """Tell whether nobody serves by what held before."""
        return self.acknowledged == self.of
