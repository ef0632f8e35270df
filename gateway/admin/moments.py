"""Moments in a query: an RFC 3339 time with an offset, or, where it says so, how long ago it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from gateway.admin.problems import BadRequest
from gateway.admin.wire import Duration

_EXAMPLE: Final = "2027-01-31T00:00:00Z"
_LATEST: Final = 253_402_300_799.0  # the last second that RFC 3339 can write


def read_moment(query: Mapping[str, str], name: str) -> float | None:
    """Return the time that the parameter `name` gives, in epoch seconds; None without one. Raises `BadRequest`."""
    text = query.get(name)
    if text is None:
        return None
    found = _instant(text)
    if found is None:
        raise BadRequest(400, f"`{name}` is a time such as {_EXAMPLE}.")
    return found


def moment_of(text: str, now: float, name: str) -> float:
    """Return the time in `text`, or so long before `now`, in epoch seconds. Raises `BadRequest`, which says `name`."""
    try:
        ago: timedelta = TypeAdapter(Duration).validate_python(text)
        return _within_reason(now - ago.total_seconds())
    except (ValidationError, OverflowError):
        found = _instant(text)
    if found is None:
        raise BadRequest(400, f"`{name}` is a time such as {_EXAMPLE}, or how long ago: 24h, 30d.")
    return found


def _instant(text: str) -> float | None:
    try:
        # A `+` that nobody encoded has become a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return None if moment.tzinfo is None else _within_reason(moment.timestamp())
    except (ValueError, OverflowError):
        return None


def _within_reason(moment: float) -> float:
    """Return a time that can be written: nothing here was before 1970, and nothing will be after 9999."""
    return min(max(moment, 0.0), _LATEST)
