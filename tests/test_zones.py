from __future__ import annotations

import pytest

from gateway.zones import zone_named


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"]
)
def test_zones_are_known_by_their_names(name: str) -> None:
    assert str(zone_named(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", "Berlin", "Europe", "../../etc/passwd", "/etc/localtime", "Europe/../UTC", "a" * 99],
)
def test_what_is_no_zone_is_none(name: str) -> None:
    assert zone_named(name) is None
