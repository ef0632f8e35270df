"""What a list asks memory for: the plainest form of what the other stores ask their databases.

Knows which records are asked for, and in which order they stand. It must not know where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import KeyQuery, Place, Presence, Sort, Wanted
from gateway.ports import R


def in_order(
    records: Mapping[str, R], after: str, sort: Sort | None, until: Place | None = None
) -> list[R]:
    """Return the records behind the one with the id `after`, up to `until`."""
    is_descending = sort is not None and sort.is_descending

    def place(value: Any, record_id: str) -> tuple[bool, Any, str]:
        if sort is None:
            return False, 0, record_id
        is_last = (value is None) is not is_descending  # in whichever direction
        return is_last, 0 if value is None else value, record_id

    def value_of(record: R) -> Any:
        return None if sort is None else getattr(record, sort.field)

    placed = [(place(value_of(each), key), each) for key, each in records.items()]
    placed.sort(key=lambda pair: pair[0], reverse=is_descending)
    if after or (sort is not None and sort.value is not None):
        here = place(None if sort is None else sort.value, after)
        placed = [pair for pair in placed if (pair[0] < here if is_descending else pair[0] > here)]
    if until is not None:
        end = place(*until)
        placed = [pair for pair in placed if (pair[0] >= end if is_descending else pair[0] <= end)]
    return [record for _, record in placed]


def is_wanted(value: Any, wanted: Wanted) -> bool:
    """Tell whether a field has the value that it must have, or one of several."""
    if isinstance(wanted, Presence):
        return (value is None) is (wanted is Presence.MISSING)
    return value in wanted if isinstance(wanted, tuple) else bool(value == wanted)


def is_asked_for(record: KeyRecord, query: KeyQuery) -> bool:
    """Tell whether `query` asks for this key."""
    fields = ("tenant_id", "state", "environment", "template", "kind", "lineage_id", "pepper_id")
    return (
        all(getattr(query, name) in ("", getattr(record, name)) for name in fields)
        and (not query.not_pepper_id or record.pepper_id != query.not_pepper_id)
        and (query.expired_at is None or _has_expired(record, query.expired_at))
        and (not query.tag or query.tag in record.tags)
        and (
            not query.text
            or query.text.lower() in record.name.lower()
            or query.text in (record.key_id, record.display)
        )
        and (query.tenant_ids is None or record.tenant_id in query.tenant_ids)
        and (query.with_hidden or not record.is_hidden)
    )


def _has_expired(record: KeyRecord, moment: float) -> bool:
    is_over = record.expires_at is not None and record.expires_at <= moment
    return record.state is KeyState.EXPIRED or (is_over and record.state is not KeyState.REVOKED)
