"""Usage: coarse cells outlive fine ones, keys fit into the series budget, and somebody can tell the country."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Final

from gateway.config.model import Config
from gateway.config.problems import Finding, quoted
from gateway.config.rules.names import Declared

_MARKER: Final = b"\xab\xcd\xefMaxMind.com"
_MARKER_WITHIN_BYTES: Final = 128 * 1024
"""MaxMind DB format 2.0: its metadata begin with this, in the last part of the file."""


def usage(config: Config, _declared: Declared) -> Iterator[Finding]:
    """What is coarser is kept at least as long, and the country is told by one who is believed."""
    section = config.usage
    kept = ("minute_retention", "hour_retention", "day_retention")
    for fine, coarse in pairwise(kept):
        if getattr(section, coarse) < getattr(section, fine):
            yield Finding(
                ("usage", coarse), f"is shorter than {quoted(fine)}: coarser cells are kept longer"
            )
    if section.country_header and section.geoip_database:
        yield Finding(
            ("usage", "country_header"),
            "is not read while there is a `geoip_database`",
            "remove one of both",
            is_warning=True,
        )
    elif section.country_header and not config.client_address.trusted_proxies:
        yield Finding(
            ("usage", "country_header"),
            "is believed of trusted proxies only, and there are none",
            "list the proxies in `client_address.trusted_proxies`",
            is_warning=True,
        )


def per_key(config: Config, _declared: Declared) -> Iterator[Finding]:
    """The series of keys leave room for the others."""
    section = config.telemetry.per_key
    budget = config.telemetry.series_budget
    if section is not None and 2 * section.top > budget:
        yield Finding(
            ("telemetry", "per_key", "top"),
            f"would take more than half of the series budget of {budget}",
            "name fewer keys, or raise `telemetry.series_budget`",
        )


def geoip_database(config: Config, folder: Path, _now: float) -> Iterator[Finding]:
    """The GeoIP database is one, and there is what reads it; where that may come later, it is only told."""
    name = config.usage.geoip_database
    if not name:
        return
    place = ("usage", "geoip_database")
    if find_spec("maxminddb") is None:
        yield Finding(
            place, "needs the library maxminddb", "install it: pip install 'tollhouse[geo]'"
        )
    path = folder / name
    may_wait = config.on_failure.geoip == "drop_and_count"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _MARKER_WITHIN_BYTES))
            is_database = _MARKER in file.read()
    except OSError as error:
        message = f"{quoted(str(path))} cannot be read: {error.strerror}"
        yield Finding(place, message, is_warning=may_wait)
        return
    if not is_database:
        message = f"{quoted(str(path))} is not a database in MaxMind's format"
        yield Finding(place, message, is_warning=may_wait)
