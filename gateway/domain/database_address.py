"""Where a PostgreSQL database is: the address that people paste, read into its parts.

Knows the part of libpq's URIs that Tollhouse understands, and refuses the rest by name. No message repeats a value: an
address holds a password. What may be shown of an address is its `str`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

DEFAULT_PORT: Final = 5432

_SHAPE: Final = re.compile(
    r"postgres(?:ql)?://(?:([^/?#]*)@)?([^/?#@]*)(?:/([^?#]*))?(?:\?([^#]*))?"
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_LOOPBACK: Final = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1")

MODES: Final = ("disable", "require", "verify-ca", "verify-full")
"""What `sslmode` may be. `allow` and `prefer` are left out: whoever is on the way could switch TLS off."""

_KNOWN: Final = ("host", "sslmode", "application_name", "search_path")
"""The parameters that an address may have; the last two are settings of the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddress:
    """The parts of an address. Of several `hosts` (name or socket folder, port) the first that can be written to is
    taken. `tls_mode` is empty when the address does not say. `settings` are those of the session.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str
    database: str
    password: str = field(default="", repr=False)
    tls_mode: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Tell whether what is said to the database leaves this machine nowhere."""
        return all(host.startswith("/") or _LOOPBACK.fullmatch(host) for host, _ in self.hosts)

    def __str__(self) -> str:
        """Return what may be shown: no password."""
        hosts = ",".join(_shown(host, port) for host, port in self.hosts)
        return f"postgresql://{self.user}@{hosts}/{self.database}"


def read_address(text: str) -> DatabaseAddress:
    """Return the parts of `postgresql://user:password@host:port/database?sslmode=verify-full`.

    Raises `ValueError` with a text that says what to do and repeats nothing.
    """
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be an address such as postgresql://user@host:5432/database")
    authority, hosts, database, query = (part or "" for part in found.groups())
    user, _, password = authority.partition(":")
    options = _options(query)
    folder = options.pop("host", "")
    if not user:
        raise ValueError("names no user: write postgresql://user@host/database")
    if not database:
        raise ValueError("names no database: write postgresql://user@host/database")
    return DatabaseAddress(
        hosts=_hosts(hosts, folder),
        user=unquote(user),
        password=unquote(password),
        database=unquote(database),
        tls_mode=options.pop("sslmode", ""),
        settings=options,
    )


def _hosts(text: str, folder: str) -> tuple[tuple[str, int], ...]:
    if folder:
        if not folder.startswith("/"):
            raise ValueError("the parameter `host` is the folder of a unix socket")
        found = _HOST.fullmatch(text)
        if found is None or found[1]:
            raise ValueError("names a host and the folder of a socket: choose one")
        return ((folder, _port(found[2])),)
    hosts = []
    for part in text.split(","):
        found = _HOST.fullmatch(part)
        name = "" if found is None else unquote(found[1].strip("[]"))
        if found is None or not name:
            raise ValueError("names no host: write host, host:port or [v6]:port")
        hosts.append((name, _port(found[2])))
    return tuple(hosts)


def _port(text: str | None) -> int:
    port = DEFAULT_PORT if text is None else int(text)
    if not 0 < port < 65_536:
        raise ValueError("names a port that does not exist")
    return port


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _KNOWN:
            known = ", ".join(_KNOWN)
            raise ValueError(f"has a parameter that is not known here: it may have {known}")
        options[name] = value
    if options.get("sslmode", MODES[0]) not in MODES:
        raise ValueError(f"`sslmode` is one of {', '.join(MODES)}")
    return options


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
