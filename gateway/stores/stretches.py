"""A sorted list in the stretches in which an index has it: first the records with a value, then those without one.

Knows where each of them begins and ends. It must not know SQL.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.queries import Place, Sort


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Records in the order of the list that lie behind `begin`, not behind `end`, where these are given.

    Those that `are_missing` the value by which the list is sorted are in the order of their ids alone.
    """

    are_missing: bool = False
    begin: Place | None = None
    end: Place | None = None


def stretches(
    sort: Sort, after: str, until: Place | None, *, is_optional: bool
) -> tuple[Stretch, ...]:
    """Return the stretches of a list that goes on behind `after` and ends with `until`.

    `is_optional` tells that there may be records without a value.
    """
    begin = Place(sort.value, after) if after or sort.value is not None else None
    found: list[Stretch] = []
    if begin is None or begin.value is not None:
        is_within = until is not None and until.value is not None
        found.append(Stretch(begin=begin, end=until if is_within else None))
    if is_optional and (until is None or until.value is None):
        is_within = begin is not None and begin.value is None
        found.append(Stretch(are_missing=True, begin=begin if is_within else None, end=until))
    return tuple(found)
