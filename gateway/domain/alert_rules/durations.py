"""Durations as the settings of a tenant spell them: a number of seconds, or a number with a unit."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_SHORT: Final = re.compile(r"([0-9]{1,9})([smhdw])")


def read_seconds(value: object) -> float:
    """Return the seconds of `90`, `90s`, `15m`, `12h`, `7d`, `2w`. Raises `ValueError` for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _SHORT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is no duration: write 90s, 15m, 12h, 7d or a number of seconds")
    return float(found[1]) * _UNITS[found[2]]


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: its largest unit, rounded."""
    for unit, length in (("day", _UNITS["d"]), ("hour", _UNITS["h"]), ("minute", _UNITS["m"])):
        if seconds >= length:
            number = round(seconds / length)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    number = round(seconds)
    return f"{number} second{'' if number == 1 else 's'}"
