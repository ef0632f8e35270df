"""A moment in a query: an RFC 3339 time, or how long ago it was."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from gateway.admin.problems import BadRequest
from gateway.admin.wire import Duration


def read_moment(text: str, now: float, name: str) -> float:
    """Return the moment in `text` as epoch seconds. Raises `BadRequest`, which calls it `name`."""
    try:
        ago: timedelta = TypeAdapter(Duration).validate_python(text)
        return now - ago.total_seconds()
    except (ValidationError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRequest(
            400, f"`{name}` is a time such as 2027-01-31T00:00:00Z, or how long ago: 24h, 30d."
        )
    return moment.timestamp()
