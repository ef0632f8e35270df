"""The dashboard: pages for a browser, and where browsers reach them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.sections.base import RESTART, Section
from gateway.config.sections.values import Duration, Flag, Label, Text
from gateway.config.sections.wire import Bind

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?"
_MINUTE = 60.0

HostName = Annotated[
    str,
    Text(_HOST, "the name of a host without a scheme or a port, such as gateway.example.com"),
    Label("host"),
]


def _a_minute(seconds: float) -> float:
    if seconds < _MINUTE:
        raise ValueError("must be a minute or more: nobody could read a page")
    return seconds


Patience = Annotated[Duration, AfterValidator(_a_minute)]


class Dashboard(Section):
    """Pages for a browser, on the admin listener if that is a TCP address, or on an address of their own.

    Who signs in with an admin token may do there what the token may do.
    """

    enabled: Flag = True
    """Serve it. Off, nothing but the admin API is there, and sessions end."""
    bind: Bind | None = Field(None, json_schema_extra=RESTART)
    """Address for browsers beside a unix socket of `listeners.admin`, which browsers cannot reach: pages
    and admin API, and everybody needs a token there. Beyond loopback it speaks the TLS of
    `listeners.admin.tls`. Null: none."""
    insecure: Flag = False
    """Accept a `bind` beyond loopback without TLS: tokens and keys then cross the network in clear. Only
    where something else encrypts, or where nobody else gets, as behind a published port of a container."""
    hosts: tuple[HostName, ...] = ()
    """Names under which browsers reach it, beside loopback. On a loopback address every other name is
    refused, so that no web page can get there by DNS rebinding. Elsewhere none is refused unless some
    are listed."""
    idle_timeout: Patience = 1800.0
    """How long nobody may touch the dashboard until its session ends; what it refreshes by itself does
    not count."""
    lifetime: Patience = 43_200.0
    """How long a session lasts at most. Sessions live in memory: a restart ends them, too."""
    allowlist_name: Annotated[str, Field(min_length=1, max_length=40), Label("text")] = (
        "IP Whitelist"
    )
    """What the page of a tenant's address rules is called."""
