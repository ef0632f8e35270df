"""Time zones by name, from the system or, where it has none, from the package `tzdata`."""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")


def zone_named(name: str) -> tzinfo | None:
    """Return the zone that the tz database calls so (`Europe/Berlin`), or None. The first time it reads a file."""
    if _NAME.fullmatch(name) is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a zone's file, a folder
        return None
