"""Telemetry: what is told to a collector reaches it as a whole, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from gateway.config.model import Config
from gateway.config.problems import Finding, KeyPath
from gateway.config.rules.edge import is_loopback
from gateway.config.rules.names import Declared, repeated

_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]{0,8190}[\x21-\x7e])?")
_PATH: Final[KeyPath] = ("telemetry", "traces")


def traces(config: Config, _declared: Declared) -> Iterator[Finding]:
    """The collector's URL can be read, and the fields that it is sent are fields."""
    section = config.telemetry.traces
    yield from repeated(
        "the header", [((*_PATH, "headers", name), name.lower()) for name in section.headers]
    )
    for name, value in section.headers.items():
        if not _VALUE.fullmatch(value.get_secret_value()):
            message = "must be printable ASCII on one line, without space at either end"
            yield Finding((*_PATH, "headers", name), message)
    host = _host(section.endpoint)
    if host is None:
        yield Finding((*_PATH, "endpoint"), "is not a URL: the host or port cannot be read")
    elif section.endpoint.startswith("http:") and section.headers and not is_loopback(host):
        yield Finding(
            (*_PATH, "endpoint"),
            "is reached in clear: whoever is on the way can read `headers`",
            "use https, or a collector on this machine that passes spans on",
            is_warning=True,
        )


def _host(endpoint: str) -> str | None:
    """Return the host of a URL, empty for no URL, None where there is none in it."""
    if not endpoint:
        return ""
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname if parts.port != 0 and "@" not in parts.netloc else None
    except ValueError:
        return None
    return host or None
