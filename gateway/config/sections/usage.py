"""What is counted of requests per key, for how long, and how many keys Prometheus is told of."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.sections.base import FromText, Section
from gateway.config.sections.values import Count, Duration, Integer, Label
from gateway.config.sections.wire import OptionalFieldName

_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
_TOP: Final = re.compile(r"top ([0-9]{1,4})")


def _an_hour(seconds: float) -> float:
    if seconds < _HOUR:
        raise ValueError("must be an hour or more")
    return seconds


def _number_of_top(value: object) -> object:
    """Return the number in `top 50`."""
    found = _TOP.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else int(found[1])


class UsageNetworks(Section):
    """How client addresses are folded into networks: nothing finer is kept."""

    ipv4_prefix: Annotated[Integer, Field(ge=8, le=32)] = 24
    """Bits of an IPv4 address that are kept."""
    ipv6_prefix: Annotated[Integer, Field(ge=16, le=128)] = 56
    """Bits of an IPv6 address that are kept: what one customer commonly gets."""


class Usage(Section):
    """What is counted of requests per key, tenant and route, for how long, and from where they came."""

    minute_retention: Annotated[Duration, AfterValidator(_an_hour)] = 2 * _DAY
    """How long minutes are kept. A key that is active on a route takes about 200 bytes a minute."""
    hour_retention: Annotated[Duration, AfterValidator(_an_hour)] = 90 * _DAY
    """How long hours are kept."""
    day_retention: Annotated[Duration, AfterValidator(_an_hour)] = 730 * _DAY
    """How long days are kept."""
    facet_retention: Annotated[Duration, AfterValidator(_an_hour)] = 30 * _DAY
    """How long it is kept which networks, countries and user agents used a key, by hour."""
    counts_max: Count = 50_000
    """Keys on routes that a process tells apart between two writes, a second; further ones are counted
    together as `__other__`. Bounds the memory while the store does not answer: 1.5 KB each."""
    networks: UsageNetworks = Field(default_factory=UsageNetworks)
    """How client addresses are folded into networks: nothing finer is kept."""
    geoip_database: Annotated[str, Label("path or empty")] = ""
    """File in MaxMind's format (`.mmdb`) that tells the country of a network; needs the extra `geo`. A
    replaced file is noticed within a minute. Empty: none."""
    country_header: OptionalFieldName = ""
    """Header field in which a CDN in front tells the country (`CF-IPCountry`). Believed only of
    `client_address.trusted_proxies`, and only without a `geoip_database`. Empty: none."""


class PerKey(Section):
    """Requests per key for Prometheus: of those with the most, and of all others together."""

    top: Annotated[Integer, Field(ge=1, le=500), BeforeValidator(_number_of_top), Label("1 to 500")]
    """Keys that have a series of their own."""


OptionalPerKey = Annotated[PerKey, FromText("top")] | None
"""`{top: 50}` or `top 50`."""
