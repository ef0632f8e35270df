"""What fills an envelope's slots per request.

Knows how each such slot is written as JSON, in ASCII. It must not know any dialect or envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii as quoted
from math import ceil
from operator import attrgetter
from typing import Final
from urllib.parse import quote

from gateway.domain.denial import Denial, Reason
from gateway.domain.dialects.definition import Slot

Writer = Callable[[Denial, str, float, int], str]
"""Write one slot: denial, request id, now (epoch seconds), seconds to wait -> JSON text."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
"""Without a zone, because that is written a quarter faster; `timestamp` adds the `Z`."""

_URN: Final = "urn:tollhouse:request:"

NAMED: Final[Mapping[Reason, Slot]] = {
    Reason.INSUFFICIENT_SCOPE: Slot.REQUIRED_SCOPES,
    Reason.IP_NOT_ALLOWED: Slot.CLIENT_ADDRESS,
    Reason.METHOD_NOT_ALLOWED: Slot.ALLOW,
    Reason.RATE_LIMITED: Slot.VIOLATED_POLICIES,
    Reason.QUOTA_EXCEEDED: Slot.VIOLATED_POLICIES,
    Reason.CONCURRENCY_LIMITED: Slot.VIOLATED_POLICIES,
}
"""The one thing that an answer may name per reason; whatever else a denial holds is not told."""

NAMES: Final[Mapping[Slot, Callable[[Denial], str | tuple[str, ...]]]] = {
    Slot.REQUIRED_SCOPES: attrgetter("required_scopes"),
    Slot.CLIENT_ADDRESS: attrgetter("client_address"),
    Slot.ALLOW: attrgetter("allow"),
    Slot.VIOLATED_POLICIES: attrgetter("violated_policies"),
}
"""Where a denial keeps what it names; empty when it names nothing."""


def naming_text(slot: Slot) -> Writer:
    """Return the writer of what `slot` names as part of a sentence, inside a JSON string."""
    names = NAMES[slot]

    def write(denial: Denial, _id: str, _now: float, _wait: int) -> str:
        value = names(denial)
        return quoted(value if isinstance(value, str) else ", ".join(value))[1:-1]

    return write


def _list(slot: Slot) -> Writer:
    names = NAMES[slot]

    def write(denial: Denial, _id: str, _now: float, _wait: int) -> str:
        return f"[{','.join(map(quoted, names(denial)))}]"

    return write


def is_plain(request_id: bytes) -> bool:
    """Tell whether an id stands in JSON and in a URN as it is, as our own ids do."""
    bare = request_id.replace(b"_", b"")
    return bare.isalnum() or bare.replace(b"-", b"").isalnum()


def _request_id(_denial: Denial, request_id: str, _now: float, _wait: int) -> str:
    return quoted(request_id)


def _instance(_denial: Denial, request_id: str, _now: float, _wait: int) -> str:
    # One taken over from a trusted peer may need escapes (RFC 8141).
    return f'"{_URN}{quote(request_id, safe="", errors="replace")}"'


def _timestamp(_denial: Denial, _id: str, now: float, _wait: int) -> str:
    return f'"{timestamp(now)}"'


def timestamp(now: float) -> str:
    """Return `now` (epoch seconds) as RFC 3339 in UTC, to the second: `2024-05-01T12:00:00Z`."""
    return (_EPOCH + timedelta(0, int(now))).isoformat() + "Z"


def _client_address(denial: Denial, _id: str, _now: float, _wait: int) -> str:
    return quoted(denial.client_address)


def _retry_after(_denial: Denial, _id: str, _now: float, wait: int) -> str:
    return str(wait)


def _limit(denial: Denial, _id: str, _now: float, _wait: int) -> str:
    return str(denial.limit)


def _remaining(denial: Denial, _id: str, _now: float, _wait: int) -> str:
    return str(denial.remaining)


def _reset_at(denial: Denial, _id: str, now: float, wait: int) -> str:
    # The rule of the rate-limit headers, so that body and headers name one instant: a bucket that
    # refused resets when a retry is admitted. A period ends on a whole second, a rate within one.
    since = int(now) if denial.reason is Reason.QUOTA_EXCEEDED else ceil(now)
    return str(since + wait)


WRITERS: Final[Mapping[Slot, Writer]] = {
    Slot.REQUEST_ID: _request_id,
    Slot.INSTANCE: _instance,
    Slot.TIMESTAMP: _timestamp,
    Slot.REQUIRED_SCOPES: _list(Slot.REQUIRED_SCOPES),
    Slot.CLIENT_ADDRESS: _client_address,
    Slot.ALLOW: _list(Slot.ALLOW),
    Slot.VIOLATED_POLICIES: _list(Slot.VIOLATED_POLICIES),
    Slot.RETRY_AFTER: _retry_after,
    Slot.LIMIT: _limit,
    Slot.REMAINING: _remaining,
    Slot.RESET_AT: _reset_at,
}

AROUND_ID: Final[Mapping[Writer, tuple[str, str]]] = {
    _request_id: ('"', '"'),
    _instance: (f'"{_URN}', '"'),
}
"""What stands before and after a plain id, for the writers that write nothing else."""

TIMED: Final[frozenset[Writer]] = frozenset({_timestamp, _reset_at})
"""The writers that tell the time, to the second."""
