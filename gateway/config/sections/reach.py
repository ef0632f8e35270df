"""How the targets of an upstream are reached and watched: TLS, names, health checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.sections.base import Section
from gateway.config.sections.values import (
    Count,
    Duration,
    DurationOrOff,
    Flag,
    Label,
    Text,
)
from gateway.config.sections.wire import FieldName, FieldValue, OptionalHost

_STATUSES: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def status_range(text: str) -> tuple[int, int]:
    """Return the first and last status of `200` or `200-299`; raise `ValueError` for other text."""
    found = _STATUSES.fullmatch(text)
    if found is None or (found[2] and found[2] < found[1]):
        raise ValueError("must be a status such as `200` or a range such as `200-299`")
    return int(found[1]), int(found[2] or found[1])


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _statuses(value: str) -> str:
    status_range(value)
    return value


Statuses = Annotated[
    str, AfterValidator(_statuses), BeforeValidator(_as_text), Label("status or range")
]
PemFile = Annotated[str, Label("path or empty")]
ProbePath = Annotated[
    str,
    Text(
        r"(?:/[!-\"$-~]*)?",
        "a path that starts with `/`, in printable ASCII without spaces and `#`; or empty for none",
    ),
    Label("path or empty"),
]


class UpstreamTls(Section):
    """How `https://` targets are spoken to. Relative paths start at the folder of this file."""

    ca: PemFile = ""
    """PEM file with the authorities that may vouch for the targets. Empty: those that the system
    trusts; a private authority alone is stricter, because nobody else can then vouch."""
    certificate: PemFile = ""
    """PEM file with the certificate that the gateway presents (mTLS), followed by its chain. Empty:
    none."""
    key: PemFile = ""
    """PEM file with the private key of `certificate`, without a passphrase. Empty: it is in the
    same file."""
    server_name: OptionalHost = ""
    """Name that the targets' certificates must hold, also sent as SNI. Empty: the host of each
    target's URL, which stays the name when it is looked up."""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """Oldest version of TLS. 1.0 and 1.1 are forbidden by RFC 8996."""
    insecure_skip_verify: Flag = False
    """Accept every certificate, so that whoever is on the way can read and change everything, keys
    of `headers.request.set` included. Only for trying out; a warning is logged at each start."""


class Resolve(Section):
    """How the names in `targets` are looked up; IP addresses and sockets are not concerned."""

    every: DurationOrOff = 30.0
    """How often a name is looked up. Each of its addresses becomes a target, a new one is used and
    one that is gone is drained: a backend may move without a restart here. When the lookup fails,
    the last good answer stays. 0: the name is one target, looked up for each new connection."""
    family: Literal["any", "ipv4", "ipv6"] = "any"
    """Which addresses count. `any`: of a name with both kinds those of one kind, because both mostly
    lead to the same machines: the kind that the system prefers, unless it cannot be connected to
    and the other can."""


class ActiveHealth(Section):
    """Asks every target regularly whether it works; off without a `path`."""

    path: ProbePath = ""
    """What to ask for, as it is: the targets' base path is not put before it. Empty: no checks."""
    method: Literal["GET", "HEAD"] = "GET"
    """How to ask."""
    interval: Duration = 5.0
    """Time from one check to the next; up to a tenth is taken off at random, so that many gateways
    do not ask at once. Until a target has first been well it is asked after 1 s, then less often.
    """
    timeout: Duration = 2.0
    """How long a check may take, connecting included; not more than `interval`."""
    healthy: Count = 2
    """Good checks in a row before a target that was down gets requests again: one may be luck."""
    unhealthy: Count = 3
    """Failed checks in a row before a target gets no more requests: one may be bad luck. The first
    check after a start decides alone."""
    statuses: tuple[Statuses, ...] = Field(("200-299",), min_length=1)
    """Statuses that are good: numbers and ranges. A redirection is not followed and not good: it
    often leads to a page that says sorry."""
    body_contains: Annotated[str, Field(max_length=1024), Label("text")] = ""
    """Text that the first 64 KiB of the answer must contain. Empty: the body is not read."""
    host: OptionalHost = ""
    """`Host` of the check. Empty: that of the upstream's `host`, or that of the target if it is
    `preserve`."""
    headers: Mapping[FieldName, FieldValue] = Field(default_factory=dict, repr=False)
    """Further fields of the check, such as a credential for the health page: never shown."""
