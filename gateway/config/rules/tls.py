"""What TLS settings demand of each other and of the rest.

Knows which values contradict each other. It must not read the files that they name: that is done when they are used,
and again at each reload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.config.model import Config, Tls
from gateway.config.problems import Finding, KeyPath
from gateway.config.rules.names import Declared, repeated

PRELOAD_SECONDS_MIN: Final = 31_536_000
"""A year: what the lists that are built into browsers ask for."""

_HSTS: Final = "strict-transport-security"


def tls(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Client certificates have an authority, timeouts fit into each other, and promises can be kept."""
    for name in ("public", "admin", "metrics", "delivery", "forward_auth"):
        section: Tls | None = getattr(config.listeners, name).tls
        if section is not None:
            yield from _common(section, ("listeners", name, "tls"))
    yield from _public(config)
    yield from _identity(config)


def _common(section: Tls, path: KeyPath) -> Iterator[Finding]:
    named = (
        ((*path, "certificates", n, "certificate"), files.certificate)
        for n, files in enumerate(section.certificates)
    )
    yield from repeated("the certificate", named)
    clients = section.client_certificates
    where = (*path, "client_certificates", "ca")
    if clients.mode != "off" and not clients.ca:
        yield Finding(where, "required key is missing: whose certificates are accepted?")
    elif clients.mode == "off" and clients.ca:
        yield Finding(where, "means nothing while `mode` is off", "optional or required")


def _public(config: Config) -> Iterator[Finding]:
    public = config.listeners.public
    section = public.tls
    path: KeyPath = ("listeners", "public", "tls")
    if section is None:
        return
    if section.handshake_timeout > public.head_timeout:
        message = "is longer than `head_timeout`, within which a handshake has to end"
        yield Finding((*path, "handshake_timeout"), message)
    hsts = section.strict_transport_security
    where = (*path, "strict_transport_security", "preload")
    if hsts.preload and not (hsts.include_subdomains and hsts.max_age >= PRELOAD_SECONDS_MIN):
        yield Finding(where, "needs `include_subdomains` and a `max_age` of at least 365d")
    if hsts.max_age:
        for n, route in enumerate(config.routes):
            for name in route.headers.response.set:
                if name.lower() == _HSTS:
                    at: KeyPath = ("routes", n, "headers", "response", "set", name)
                    yield Finding(at, "is set by `listeners.public.tls` already")


def _identity(config: Config) -> Iterator[Finding]:
    """A header for what is never there would be a trap: an upstream may take its absence for a check."""
    section = config.listeners.public.tls
    if section is not None and section.client_certificates.mode != "off":
        return
    for field in ("certificate_subject", "certificate_fingerprint"):
        if getattr(config.identity_headers, field):
            message = "no client shows a certificate"
            hint = "set `listeners.public.tls.client_certificates`"
            yield Finding(("identity_headers", field), message, hint)
