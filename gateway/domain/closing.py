"""Why clients' connections are refused and why they end: two closed lists.

Knows the words that metrics and docs use. It must not know what decides.
"""

from __future__ import annotations

from enum import StrEnum


class Refused(StrEnum):
    """Why a connection was closed before it was served; the client sees a connection that ends at once."""

    CONNECTIONS_MAX = "connections_max"
    """There were too many in all, and none of them was idle."""
    PER_ADDRESS_MAX = "connections_per_address_max"
    """There were too many of one address."""
    PROXY_PROTOCOL = "proxy_protocol"
    """No valid PROXY protocol header came, or it came from no declared proxy."""
    STRANGER = "stranger"
    """It came to the listener of proxies that ask, from no declared proxy."""
    UNNAMED = "unnamed"
    """It was reset before it was accepted, so nobody can tell any more whom it was from."""


class Closed(StrEnum):
    """Why a connection that was served ended; the first cause counts."""

    CLIENT = "client"
    """The client closed or reset it."""
    ANSWERED = "answered"
    """Its last answer said so: the client asked for that, or what followed could not be trusted."""
    IDLE_TIMEOUT = "idle_timeout"
    HEAD_TIMEOUT = "head_timeout"
    BODY_TIMEOUT = "body_timeout"
    BODY_RATE = "body_rate"
    WRITE_TIMEOUT = "write_timeout"
    WRITE_RATE = "write_rate"
    REQUESTS_MAX = "requests_max"
    LIFETIME = "lifetime"
    EVICTED = "evicted"
    """It was idle and made room for a new one."""
    DRAIN = "drain"
    """The gateway stops."""
    CUT = "cut"
    """Its stream was cut: its key may no longer use it, or an operator said so."""
    BROKEN = "broken"
    """Its answer could not be completed."""
