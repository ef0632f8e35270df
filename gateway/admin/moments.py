"""Times in a query: RFC 3339 with an offset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.admin.problems import BadRequest


def read_moment(query: Mapping[str, str], name: str) -> float | None:
    """Return the time that the parameter `name` gives, in epoch seconds; None without one. Raises `BadRequest`."""
    text = query.get(name)
    if text is None:
        return None
    try:
        # A `+` that nobody encoded has become a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            raise ValueError("no offset")  # noqa: TRY301 - told below
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(400, f"`{name}` is a time such as 2027-01-31T00:00:00Z.") from None
