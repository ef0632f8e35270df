"""Builds the upstreams of a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.assembly import policy
from gateway.assembly.reach import addresses
from gateway.assembly.share import Share
from gateway.config import model
from gateway.config.sections.target import target_parts
from gateway.domain.affinity import Affinity
from gateway.outbox import Outbox
from gateway.ports import Deadlines
from gateway.upstreams.breaker import BreakerRules
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.health import EjectionRules, Health
from gateway.upstreams.service import Service
from gateway.upstreams.settings import RetryRules, Settings
from gateway.upstreams.target import Address, Target

_ALL: Final = Share()


class Builder:
    """Builds services over the parts that all of them share.

    `random` returns numbers from 0 to 1; `on_retry` is told the name of an upstream for each retry. Relative paths
    start at the folder of `config_path`. A target may have this `share` of its connections.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        outbox: Outbox,
        dialer: Dialer,
        random: Callable[[], float],
        on_retry: Callable[[str], None],
        config_path: Path,
        share: Share = _ALL,
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._outbox = outbox
        self._dialer = dialer
        self._random = random
        self._on_retry = on_retry
        self._config_path = config_path
        self._share = share

    def services(self, config: model.Config) -> dict[str, Service]:
        """Return the running upstreams by name."""
        return {name: self.service(name, section) for name, section in config.upstreams.items()}

    def service(self, name: str, section: model.Upstream) -> Service:
        """Return one running upstream; nothing is contacted yet.

        Raises `CannotStart` when a certificate or key cannot be used.
        """
        made = settings(section)

        def make(address: Address) -> Target:
            return Target(
                address,
                loop=self._loop,
                deadlines=self._deadlines,
                outbox=self._outbox,
                dial=self._dialer,
                health=Health(made.ejection, section.slow_start, self._loop.time()),
                timeouts=made.timeouts,
                connections_max=self._share.of(section.connections_max),
                idle_connections_max=self._share.of(section.idle_connections_max),
                idle_lifetime_seconds=section.idle_lifetime,
            )

        return Service(
            name,
            addresses(name, section, self._config_path),
            make=make,
            settings=made,
            dial=self._dialer,
            loop=self._loop,
            random=self._random,
            on_retry=lambda: self._on_retry(name),
        )


def settings(section: model.Upstream) -> Settings:
    """Return what a section says about choosing and about failures."""
    parts = [target_parts(target.url) for target in section.targets]
    hosts = {part.authority for part in parts}
    is_own = section.host == "upstream"
    affinity = section.affinity
    return Settings(
        timeouts=policy.upstream_timeouts(section),
        host=_host(section.host, hosts).encode("ascii"),
        has_own_host=is_own and len(hosts) > 1,
        base_path=parts[0].base_path.encode("ascii"),
        balance=section.balance,
        affinity=Affinity(by=affinity.by, header=affinity.header.lower().encode("ascii"))
        if section.balance == "hash"
        else None,
        load_max=affinity.load_max,
        panic_uses_all=section.health.panic == "use_all",
        retry=_retry(section.retry),
        ejection=_ejection(section.health.passive),
        breaker=_breaker(section.breaker),
        breaker_statuses=frozenset(section.breaker.statuses),
    )


def _host(rule: str, hosts: set[str]) -> str:
    """Return the one `Host` to send: empty if it is the client's, or differs by target."""
    if rule == "upstream":
        return next(iter(hosts)) if len(hosts) == 1 else ""
    return "" if rule == "preserve" else rule


def _retry(section: model.Retry) -> RetryRules:
    statuses = frozenset(status for status in section.on if isinstance(status, int))
    return RetryRules(
        attempts=section.attempts,
        causes=frozenset({"status", *(cause for cause in section.on if isinstance(cause, str))}),
        statuses=statuses if section.attempts > 1 else frozenset(),
        share=section.budget,
        per_second_min=section.budget_per_second_min,
    )


def _ejection(section: model.PassiveHealth) -> EjectionRules:
    return EjectionRules(
        failures=section.failures,
        statuses=frozenset(section.statuses),
        seconds=section.ejection,
        seconds_max=section.ejection_max,
        share_max=section.share_max,
    )


def _breaker(section: model.Breaker) -> BreakerRules | None:
    if not section.error_ratio:
        return None
    return BreakerRules(
        error_ratio=section.error_ratio,
        requests_min=section.min_requests,
        window_seconds=section.window,
        open_seconds=section.open,
        probes=section.probes,
    )
