"""How what is allowed to the gateway as a whole is divided among those who serve.

Knows whole numbers. It must not know what is counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one among `parts`; `number` counts from 0."""

    number: int = 0
    parts: int = 1

    def of(self, whole: int) -> int:
        """Return this part of `whole`: the parts add up to it, but nobody is left without one."""
        return max(1, whole // self.parts + (self.number < whole % self.parts))
