"""Times as people type them: `2h` ago, or a date."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from gateway.config.sections.values import read_duration


def moment(text: str) -> str:
    """Return RFC 3339 for `2h` (so long ago) or a time with an offset (a date alone: UTC), for argparse."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = datetime.now(UTC) - timedelta(seconds=read_duration(text))
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(
                "must be a time such as 2027-01-31T00:00:00Z, or how long ago: 30m, 2h, 7d"
            ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z")
