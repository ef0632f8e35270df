"""Turns the configuration of an upstream into where it is, how it is spoken to, and what watches it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.assembly.errors import CannotStart
from gateway.config import model
from gateway.config.places import anchored
from gateway.config.sections.reach import status_range
from gateway.config.sections.target import TargetParts, target_parts
from gateway.telemetry.metrics import Metrics
from gateway.upstreams.resolver import Names, SystemResolver, can_connect, is_name
from gateway.upstreams.service import Service
from gateway.upstreams.target import Address
from gateway.upstreams.tls import TlsSettings, client_context

if TYPE_CHECKING:
    from gateway.upstreams.probes import Probes

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_log = logging.getLogger(__name__)


def addresses(name: str, section: model.Upstream, config_path: Path) -> dict[Address, int]:
    """Return where the targets of an upstream are, as they are configured, with their weights.

    Raises `CannotStart` when a certificate or key cannot be used.
    """
    parts = {target_parts(target.url): target.weight for target in section.targets}
    tls = None
    if any(part.is_tls for part in parts):
        tls = _context(name, section.tls, config_path)
    return {_address(part, section, tls): weight for part, weight in parts.items()}


def _address(part: TargetParts, section: model.Upstream, tls: ssl.SSLContext | None) -> Address:
    return Address(
        host=part.host,
        port=part.port,
        unix_path=part.unix_path,
        tls=tls if part.is_tls else None,
        server_name=section.tls.server_name if part.is_tls else "",
        authority=part.authority,
    )


def _context(name: str, section: model.UpstreamTls, config_path: Path) -> ssl.SSLContext:
    def path(value: str) -> Path | None:
        return anchored(config_path, value) if value else None

    if section.insecure_skip_verify:
        _log.warning(
            "upstream %s: certificates are not verified (insecure_skip_verify): whoever is on the way can read and"
            " change everything",
            name,
        )
    try:
        return client_context(
            TlsSettings(
                ca=path(section.ca),
                certificate=path(section.certificate),
                key=path(section.key),
                minimum_version=_VERSIONS[section.minimum_version],
                is_verifying=not section.insecure_skip_verify,
            )
        )
    except OSError as error:
        raise CannotStart(f"upstreams.{name}.tls: {error}") from error


class Upkeep:
    """What goes on beside the requests of one upstream while `run` lasts: look-ups of names and health checks."""

    def __init__(
        self,
        config: model.Config,
        service: Service,
        metrics: Metrics,
        random: Callable[[], float],
    ) -> None:
        """Take a service whose targets are still those of the configuration. Nothing is asked before `run`."""
        self.name = f"upkeep of upstream {service.name}"
        section = config.upstreams[service.name]
        configured = {target.address: target.weight for target in service.targets}
        self._service = service
        self._probes: Probes | None = None
        self._work: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if section.health.active.path:
            self._probes = self._make_probes(section, metrics, random)
            self._work.append(self._probes.run)
        if section.resolve.every and any(is_name(address.host) for address in configured):
            self._work.append(self._make_names(section.resolve, configured, metrics, random).run)

    def _make_probes(
        self, section: model.Upstream, metrics: Metrics, random: Callable[[], float]
    ) -> Probes:
        # Brings aiohttp, 20 MB of every worker: only for those who check.
        from gateway.upstreams.probes import Outcome, Probes, ProbeSettings

        name, active = self._service.name, section.health.active
        for outcome in Outcome:
            metrics.count("upstream_probes_total", name, outcome, amount=0)
        own_host = "" if section.host in {"preserve", "upstream"} else section.host
        return Probes(
            ProbeSettings(
                path=active.path,
                method=active.method,
                interval_seconds=active.interval,
                timeout_seconds=active.timeout,
                rise=active.healthy,
                fall=active.unhealthy,
                statuses=tuple(status_range(text) for text in active.statuses),
                body_contains=active.body_contains.encode(),
                host=active.host or own_host,
                headers=active.headers,
            ),
            lambda: self._service.targets,
            count=lambda outcome: metrics.count("upstream_probes_total", name, outcome),
            random=random,
        )

    def _make_names(
        self,
        section: model.Resolve,
        configured: Mapping[Address, int],
        metrics: Metrics,
        random: Callable[[], float],
    ) -> Names:
        name = self._service.name
        for outcome in ("ok", "failed"):
            metrics.count("upstream_lookups_total", name, outcome, amount=0)
        return Names(
            name,
            configured,
            every_seconds=section.every,
            family=section.family,
            resolver=SystemResolver(),
            reach=can_connect,
            retarget=self._retarget,
            count=lambda outcome: metrics.count("upstream_lookups_total", name, outcome),
            random=random,
        )

    def _retarget(self, addresses: Mapping[Address, int]) -> None:
        self._service.retarget(addresses)
        if self._probes is not None:
            self._probes.changed()

    @property
    def is_needed(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self._work)

    async def run(self) -> None:
        """Keep the upstream up to date until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in self._work:
                tasks.create_task(work())
