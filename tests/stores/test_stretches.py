"""A sorted list, cut where its records without a value begin."""

from __future__ import annotations

from gateway.domain.queries import Place, Sort
from gateway.stores.stretches import Stretch, stretches

HERE, LAST = Place(5.0, "key_b"), Place(None, "key_y")
MISSING = Stretch(are_missing=True)


def cut(
    value: float | None = None, after: str = "", until: Place | None = None
) -> tuple[Stretch, ...]:
    return stretches(Sort(field="expires_at", value=value), after, until, is_optional=True)


def test_a_whole_list_has_those_with_a_value_first() -> None:
    assert cut() == (Stretch(), MISSING)
    assert stretches(Sort(field="name"), "", None, is_optional=False) == (Stretch(),)


def test_a_list_goes_on_in_the_stretch_where_it_ended() -> None:
    assert cut(5.0, "key_b") == (Stretch(begin=HERE), MISSING)
    assert cut(5.0) == (Stretch(begin=Place(5.0, "")), MISSING)
    assert cut(None, "key_y") == (Stretch(are_missing=True, begin=LAST),)


def test_a_list_ends_in_the_stretch_where_its_end_is() -> None:
    assert cut(until=HERE) == (Stretch(end=HERE),)
    assert cut(until=LAST) == (Stretch(), Stretch(are_missing=True, end=LAST))
    assert cut(None, "key_a", LAST) == (
        Stretch(are_missing=True, begin=Place(None, "key_a"), end=LAST),
    )
    assert cut(None, "key_y", HERE) == ()
