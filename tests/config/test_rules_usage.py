"""Usage, and how many keys Prometheus is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check
from tests.config.sample import HEAD, NOTHING, loaded, said, write

DATABASE = b"\0" * 1_000 + b"\xab\xcd\xefMaxMind.com" + b"\0" * 100


def test_defaults_keep_minutes_for_days_and_days_for_years(tmp_path: Path) -> None:
    usage = loaded(tmp_path, "").usage
    kept = (usage.minute_retention, usage.hour_retention, usage.day_retention)
    assert [seconds / 86_400 for seconds in kept] == [2, 90, 730]
    assert (usage.networks.ipv4_prefix, usage.networks.ipv6_prefix) == (24, 56)
    assert loaded(tmp_path, "").telemetry.per_key is None


@pytest.mark.parametrize("written", ["{top: 50}", "top 50"])
def test_keys_for_prometheus_are_written_in_two_ways_d10(tmp_path: Path, written: str) -> None:
    section = loaded(tmp_path, f"telemetry: {{per_key: {written}}}").telemetry.per_key
    assert section is not None
    assert section.top == 50


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("usage: {minute_retention: 5m}", "usage.minute_retention: must be an hour or more"),
        (
            "usage: {hour_retention: 1d}",
            "usage.hour_retention: is shorter than 'minute_retention': coarser cells are kept longer",
        ),
        (
            "usage: {day_retention: 60d}",
            "usage.day_retention: is shorter than 'hour_retention': coarser cells are kept longer",
        ),
        ("usage: {networks: {ipv4_prefix: 4}}", "usage.networks.ipv4_prefix: must be at least 8"),
        ("usage: {networks: {ipv6_prefix: 129}}", "usage.networks.ipv6_prefix: must be at most 128"),
        ("usage: {country_header: 'a b'}",
         "usage.country_header: is not a header name (RFC 9110 section 5.1)"),
        ("telemetry: {per_key: {top: 501}}", "telemetry.per_key.top: must be at most 500"),
        ("telemetry: {per_key: top 0}", "telemetry.per_key: must be at least 1"),
        ("telemetry: {per_key: top ten}", "telemetry.per_key: must be a whole number"),
        (
            "telemetry: {series_budget: 99, per_key: top 50}",
            "telemetry.per_key: would take more than half of the series budget of 99 "
            "(name fewer keys, or raise `telemetry.series_budget`)",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_an_error(tmp_path: Path, text: str, line: str) -> None:
    assert said(tmp_path, text) == [line]


def warned(folder: Path, text: str) -> list[str]:
    config, found = check(write(folder, HEAD + text), NOTHING)
    assert config is not None
    assert all(problem.is_warning for problem in found)
    return [problem.message for problem in found]


def test_a_country_header_that_nobody_may_send_is_a_warning(tmp_path: Path) -> None:
    header = "usage: {country_header: CF-IPCountry}\n"
    assert warned(tmp_path, header) == ["is believed of trusted proxies only, and there are none"]
    assert warned(tmp_path, header + "client_address: {trusted_proxies: [10.0.0.1]}") == []


def test_a_country_header_beside_a_database_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "geo.mmdb").write_bytes(DATABASE)
    both = "usage: {country_header: CF-IPCountry, geoip_database: geo.mmdb}"
    assert warned(tmp_path, both) == ["is not read while there is a `geoip_database`"]


def test_the_geoip_database_is_looked_at_before_it_is_needed(tmp_path: Path) -> None:
    text = "usage: {geoip_database: geo.mmdb}"
    path = tmp_path / "geo.mmdb"
    [line] = said(tmp_path, text)
    assert line.endswith("geo.mmdb' cannot be read: No such file or directory")
    path.write_bytes(b"nothing")
    [line] = said(tmp_path, text)
    assert line.endswith("geo.mmdb' is not a database in MaxMind's format")
    path.write_bytes(DATABASE)
    assert said(tmp_path, text) == []
