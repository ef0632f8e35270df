"""What the metrics read of upstreams at each scrape.

Read in the thread that renders: only sizes and single values are looked at, nothing that is changed while it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.upstreams.breaker import BreakerState
from gateway.upstreams.service import Service
from gateway.upstreams.target import Target

Services = Callable[[], Iterable[Service]]
Reading = dict[tuple[str, ...], float]


def _by_upstream(read: Callable[[Service], float]) -> Callable[[Services], Reading]:
    return lambda services: {(service.name,): read(service) for service in services()}


def _by_target(read: Callable[[Target], float]) -> Callable[[Services], Reading]:
    return lambda services: {
        (service.name, target.label): read(target)
        for service in services()
        for target in service.targets
    }


def _breakers(services: Services) -> Reading:
    return {
        (service.name, state.value): float(service.breaker.state is state)
        for service in services()
        if service.breaker is not None
        for state in BreakerState
    }


READINGS: Final[Mapping[str, Callable[[Services], Reading]]] = {
    "upstream_up": _by_upstream(lambda service: service.is_up),
    "upstream_ejections_total": _by_upstream(lambda service: service.roster.ejections),
    "upstream_breaker_state": _breakers,
    "upstream_target_up": _by_target(lambda target: target.health.is_usable),
    "upstream_outstanding_requests": _by_target(lambda target: target.outstanding),
    "upstream_waiting_requests": _by_target(lambda target: target.waiting),
    "upstream_idle_connections": _by_target(lambda target: target.idle_connections),
}
"""Metric -> what reads it."""
