"""The certificates of all listeners that are in use, and how new ones take their place.

Knows that new ones count only as a whole, from the next handshake on, and how long certificates last. It must not know
connections, nor who notices that a file changed.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from gateway.assembly import tls_files
from gateway.assembly.tls_files import Prepared
from gateway.config import model
from gateway.listeners.certificates import Certificate, Terms
from gateway.listeners.tls import TlsPort
from gateway.ports import Clock, Deadlines
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

EXPIRES_SOON_SECONDS: Final = 14 * 86400
"""Whoever renews automatically does so a month before the end; two weeks before it something is wrong."""


class ChosenContext(ssl.SSLContext):
    """The context of a server that takes one for good: each handshake is made under the terms of its moment."""

    terms: Terms

    def __new__(cls, terms: Terms) -> Self:
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        self.terms = terms
        return self

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *_: Any, **__: Any
    ) -> ssl.SSLObject:
        return self.terms.wrap(incoming, outgoing)


class Certificates:
    """What is in use. A listener that had no TLS when the gateway started gets none later.

    Raises `Unusable` with every fault.
    """

    def __init__(
        self, config: model.Config, config_path: Path, clock: Clock, metrics: Metrics
    ) -> None:
        self._path = config_path
        self._clock = clock
        self._metrics = metrics
        self._users: dict[str, TlsPort | ChosenContext] = {}
        self._expiries: Mapping[tuple[str, ...], float] = {}
        self._in_use = tls_files.prepare(config, config_path)
        self.replace(self._in_use)
        metrics.watch("tls_certificate_expiry_timestamp_seconds", lambda: self._expiries)

    def port(
        self, listener: str, *, loop: asyncio.AbstractEventLoop, deadlines: Deadlines
    ) -> TlsPort | None:
        """Return what the connections of a listener of ours share, None without TLS."""
        found = self._in_use.by_listener.get(listener)
        if found is None:
            return None
        port = self._users[listener] = TlsPort(
            found[0],
            loop=loop,
            deadlines=deadlines,
            count=lambda outcome: self._metrics.count("tls_handshakes_total", outcome),
        )
        return port

    def context(self, listener: str) -> ssl.SSLContext | None:
        """Return what an aiohttp server takes, None without TLS."""
        found = self._in_use.by_listener.get(listener)
        if found is None:
            return None
        context = self._users[listener] = ChosenContext(found[0])
        return context

    def prepare(self, config: model.Config) -> Prepared:
        """Read and try what `config` names, without using it; may run in a thread. Raises `Unusable`."""
        return tls_files.prepare(config, self._path, self._in_use)

    def replace(self, prepared: Prepared) -> None:
        """Use what was prepared from the next handshake on; connections go on under what they began with."""
        for name, user in self._users.items():
            if name in prepared.by_listener:
                user.terms = prepared.by_listener[name][0]
        self._in_use = prepared
        self._expiries = {
            (name, certificate.label): certificate.expires_at
            for name, (terms, _) in prepared.by_listener.items()
            for certificate in reversed(terms.certificates)  # of two for one host the first is used
        }
        for name, (terms, _) in prepared.by_listener.items():
            for certificate in terms.certificates:
                self._warn(name, certificate)

    def _warn(self, listener: str, certificate: Certificate) -> None:
        what = f"listeners.{listener}.tls: {certificate.path} ({certificate.label})"
        left = certificate.expires_at - self._clock.now()
        if left <= 0:
            _log.error("%s has expired: clients refuse it", what)
        elif left < EXPIRES_SOON_SECONDS:
            _log.warning("%s expires in %d days: renew it", what, left // 86400)
        if not certificate.hosts:
            _log.warning("%s names no host (subjectAltName): most clients refuse it", what)
