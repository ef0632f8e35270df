"""Tables that a spreadsheet opens (RFC 4180), without anything in them that it would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

CSV: Final = "text/csv; charset=utf-8"

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet; clients choose what stands in ours."""


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as lines of a table."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow(map(_cell, row))
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
