"""The state of upstreams as operators see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.upstreams.service import Service
from gateway.upstreams.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOverview:
    """One target. `state` is a `TargetState` or `draining`, `seconds` how long that has been so, and `why` says why."""

    target: str
    state: str
    why: str
    seconds: float
    weight: int
    outstanding: int
    idle: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOverview:
    """One upstream. `breaker` is empty if it has none; `is_up` tells whether requests should be sent to it."""

    name: str
    is_up: bool
    is_panicking: bool
    breaker: str
    balance: str
    requests: int
    retries: int
    ejections: int
    targets: tuple[TargetOverview, ...]


def overview(services: Iterable[Service], now: float) -> list[ServiceOverview]:
    """Return the state of `services`; `now` is the loop's time."""
    return [_service(service, now) for service in services]


def _service(service: Service, now: float) -> ServiceOverview:
    roster, breaker = service.roster, service.breaker
    leaving = sorted(roster.leaving, key=lambda target: target.label)
    return ServiceOverview(
        name=service.name,
        is_up=service.is_up,
        is_panicking=roster.is_panicking,
        breaker="" if breaker is None else breaker.state.value,
        balance=service.settings.balance,
        requests=service.requests,
        retries=service.retries,
        ejections=roster.ejections,
        targets=(
            *(_target(each, each.health.state(now).value, now) for each in service.targets),
            *(_target(each, "draining", now) for each in leaving),
        ),
    )


def _target(target: Target, state: str, now: float) -> TargetOverview:
    return TargetOverview(
        target=target.label,
        state=state,
        why=target.health.why,
        seconds=now - target.health.since,
        weight=target.weight,
        outstanding=target.outstanding,
        idle=target.idle_connections,
        waiting=target.waiting,
    )
