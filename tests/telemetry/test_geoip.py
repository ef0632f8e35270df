from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from gateway.telemetry.geoip import REMEMBERED_MAX, GeoIp, GeoIpUnusable, code_of
from tests.clock import FakeClock


def write(path: Path, countries: dict[str, Any]) -> Path:
    """Write a database in MaxMind's format: what it says of each network."""
    writer = MMDBWriter(6, "Test-Country", ipv4_compatible=True)
    for network, entry in countries.items():
        writer.insert_network(IPSet([network]), entry)
    beside = path.with_suffix(".new")
    writer.to_db_file(str(beside))
    return beside.replace(path)


def country(code: str) -> dict[str, Any]:
    return {"country": {"iso_code": code, "names": {"en": "Somewhere"}}}


COUNTRIES = {
    "192.0.2.0/24": country("NZ"),
    "2001:db8::/32": country("de"),
    "198.51.100.0/24": {"registered_country": {"iso_code": "FR"}},
}


def test_networks_are_found_in_a_real_database_hp_27(tmp_path: Path) -> None:
    geoip = GeoIp(write(tmp_path / "geo.mmdb", COUNTRIES), FakeClock())
    assert geoip.country("192.0.2.0/24") == "NZ"
    assert geoip.country("2001:db8:1::/56") == "DE"
    assert geoip.country("198.51.100.0/24") == "FR"
    assert geoip.country("203.0.113.0/24") == ""
    assert geoip.country("") == ""
    geoip.close()


def test_a_database_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "geo.mmdb", COUNTRIES)
    geoip = GeoIp(path, FakeClock())
    assert not geoip.refresh()
    assert geoip.country("192.0.2.0/24") == "NZ"
    write(path, {"192.0.2.0/24": country("AU")})
    assert geoip.country("192.0.2.0/24") == "NZ"
    assert geoip.refresh()
    assert geoip.country("192.0.2.0/24") == "AU"
    geoip.close()


def test_a_replacement_that_is_broken_leaves_the_former_in_use(tmp_path: Path) -> None:
    path = write(tmp_path / "geo.mmdb", COUNTRIES)
    geoip = GeoIp(path, FakeClock())
    broken = tmp_path / "broken"
    broken.write_bytes(b"nothing")
    broken.replace(path)
    with pytest.raises(GeoIpUnusable, match=r"geo\.mmdb"):
        geoip.refresh()
    assert geoip.country("192.0.2.0/24") == "NZ"
    path.unlink()
    with pytest.raises(GeoIpUnusable, match="No such file"):
        geoip.refresh()
    assert geoip.country("2001:db8::/56") == "DE"
    geoip.close()


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GeoIpUnusable, match=r"geo\.mmdb: No such file"):
        GeoIp(tmp_path / "geo.mmdb", FakeClock())
    (tmp_path / "geo.mmdb").write_bytes(os.urandom(4_096))
    with pytest.raises(GeoIpUnusable, match=r"geo\.mmdb"):
        GeoIp(tmp_path / "geo.mmdb", FakeClock())


def test_a_file_that_breaks_later_costs_countries_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    geoip = GeoIp(write(tmp_path / "geo.mmdb", COUNTRIES), FakeClock())
    geoip.close()
    with caplog.at_level(logging.WARNING):
        assert geoip.country("192.0.2.0/24") == ""
        assert geoip.country("192.0.3.0/24") == ""
    assert len(caplog.records) == 1


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    geoip = GeoIp(write(tmp_path / "geo.mmdb", COUNTRIES), FakeClock())
    for number in range(REMEMBERED_MAX + 10):
        geoip.country(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32")
    assert len(geoip._known) <= REMEMBERED_MAX
    geoip.close()


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"country": {"iso_code": "nz"}}, "NZ"),
        ({"country_code": "US"}, "US"),
        ({"country": "CH"}, "CH"),
        ({"country": "Switzerland"}, ""),
        ({"city": {}}, ""),
        (None, ""),
        ("NZ", ""),
    ],
)
def test_databases_of_several_makers_are_understood(entry: object, code: str) -> None:
    assert code_of(entry) == code
