"""The country of a network, looked up in a file in MaxMind's format.

Knows the optional library `maxminddb` and what such files hold. A look-up takes some microseconds and is remembered.
It must not know requests.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.ports import Clock
from gateway.telemetry.pace import Pace

REMEMBERED_MAX: Final = 65_536
"""Networks whose country is remembered; then all are looked up again."""

_PLACES: Final = (
    ("country", "iso_code"),
    ("registered_country", "iso_code"),
    ("country_code",),
    ("country",),
)
"""Where the databases of several makers keep the ISO code."""

_log = logging.getLogger(__name__)


class GeoIpUnusable(Exception):
    """The database cannot be used; the text is for the operator."""


class GeoIp:
    """One database. `refresh` takes a file that has replaced it. Raises `GeoIpUnusable`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._pace = Pace(clock)
        self._known: dict[str, str] = {}
        self._stamp = _stamp(path)
        self._reader = _opened(path)

    def country(self, network: str) -> str:
        """Return the ISO code of the country of a network (`198.51.100.0/24`), empty where it is not known."""
        known = self._known.get(network)
        if known is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            known = self._known[network] = self._look_up(network.partition("/")[0])
        return known

    def _look_up(self, address: str) -> str:
        if not address:
            return ""
        try:
            return code_of(self._reader.get(address))
        except Exception as error:  # noqa: BLE001 - told below: a broken file costs countries, nothing else
            if self._pace.is_due():
                _log.warning("%s: %s", self.path, error)
            return ""

    def refresh(self) -> bool:
        """Open the file anew if another one lies there; return whether it did. Raises `GeoIpUnusable`."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        reader = _opened(self.path)
        self._reader.close()
        self._reader, self._stamp = reader, stamp
        self._known.clear()
        return True

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def code_of(entry: object) -> str:
    """Return the ISO code in what a database says of an address, empty without one."""
    for place in _PLACES:
        value: object = entry
        for name in place:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha():
            return value.upper()
    return ""


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise GeoIpUnusable(f"{path}: {error.strerror}") from error
    return found.st_ino, found.st_mtime_ns, found.st_size


def _opened(path: Path) -> Any:
    try:
        import maxminddb
    except ImportError as error:
        raise GeoIpUnusable(
            "`usage.geoip_database` needs the library maxminddb: pip install 'tollhouse[geo]'"
        ) from error
    try:
        return maxminddb.open_database(path)
    except OSError as error:
        raise GeoIpUnusable(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        raise GeoIpUnusable(f"{path}: {error}") from error
