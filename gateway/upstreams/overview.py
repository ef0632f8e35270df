"""The state of upstreams as operators see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.upstreams.service import Service
from gateway.upstreams.target import Target

_STATES: Final = ("up", "warming", "draining", "probation", "ejected", "down")
_BREAKERS: Final = ("", "closed", "half_open", "open")
"""From the best to the worst."""


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


def merged(views: Sequence[Sequence[ServiceOverview]]) -> list[ServiceOverview]:
    """Return what several who use the same upstreams see together: numbers add up, of states the worst is shown."""
    by_name: dict[str, list[ServiceOverview]] = {}
    for view in views:
        for service in view:
            by_name.setdefault(service.name, []).append(service)
    return [_merged_service(services) for services in by_name.values()]


def _merged_service(views: list[ServiceOverview]) -> ServiceOverview:
    by_target: dict[str, list[TargetOverview]] = {}
    for view in views:
        for target in view.targets:
            by_target.setdefault(target.target, []).append(target)
    return replace(
        views[0],
        is_up=any(view.is_up for view in views),
        is_panicking=any(view.is_panicking for view in views),
        breaker=max((view.breaker for view in views), key=_BREAKERS.index),
        requests=sum(view.requests for view in views),
        retries=sum(view.retries for view in views),
        ejections=sum(view.ejections for view in views),
        targets=tuple(_merged_target(targets) for targets in by_target.values()),
    )


def _merged_target(views: list[TargetOverview]) -> TargetOverview:
    worst = max(views, key=lambda view: _STATES.index(view.state))
    affected = sum(view.state == worst.state for view in views)
    why = worst.why
    if affected < len(views):
        why = f"in {affected} of {len(views)} workers" + (f": {why}" if why else "")
    return replace(
        worst,
        why=why,
        outstanding=sum(view.outstanding for view in views),
        idle=sum(view.idle for view in views),
        waiting=sum(view.waiting for view in views),
    )


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
