"""Where a list goes on: the text that is given out behind a page, and read again.

Knows that a list which is sorted goes on behind a value and an id. It must not look at any record but those that were
looked through for a page: a cursor that names another one would tell how they compare.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import fields, replace
from math import isfinite
from typing import Final

from gateway.domain.key_rules import Refused
from gateway.domain.queries import Place, Sort
from gateway.ports import Record

_TEXTS: Final = frozenset({"name"})
"""The fields that are sorted as texts; all others are times."""


def record_id(record: Record) -> str:
    """Return the id of a record: its first field."""
    return str(getattr(record, fields(record)[0].name))


def cursor_behind(record: Record, sort: Sort | None) -> str:
    """Return the cursor of what follows `record`."""
    value = None if sort is None else getattr(record, sort.field)
    return cursor_at(Place(value, record_id(record)), sort)


def cursor_at(place: Place, sort: Sort | None) -> str:
    """Return the cursor of what follows `place`."""
    if sort is None:
        return place.record_id
    return urlsafe_b64encode(json.dumps([*place]).encode()).decode().rstrip("=")


def place_of(cursor: str, sort: Sort | None) -> tuple[str, Sort | None]:
    """Return the id behind which a list goes on, and its order from there. Raises `Refused` for what is no cursor."""
    if sort is None or not cursor:
        return cursor, sort
    try:
        value, after = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if value is not None:
            value = _text(value) if sort.field in _TEXTS else _number(value)
        return _text(after), replace(sort, value=value)
    except (ValueError, TypeError, OverflowError, NotBase64) as error:
        raise Refused([("/cursor", "is not one that was given out")]) from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("it is no text")
    value.encode()  # what is no Unicode is nothing that was ever stored
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not isfinite(value):
        raise ValueError("it is no number")
    return float(value)
