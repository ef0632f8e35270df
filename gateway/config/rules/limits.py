"""Limits: each rate says one period, no two rules of a plan share a bucket, owners make sense, and Redis can count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.config.model import (
    PERIOD_SECONDS,
    Config,
    Limits,
    LimitsTls,
    Plan,
    redis_parts,
)
from gateway.config.problems import Finding, KeyPath, quoted
from gateway.config.rules.names import Declared, repeated

_CENTURY: Final = 100 * 366 * 86_400


def plans(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Every rate has exactly one period, and owners are named once."""
    for name, plan in config.plans.items():
        path: KeyPath = ("plans", name)
        yield from _rates(plan, path)
        owners = (((*path, "owners", n), owner) for n, owner in enumerate(plan.owners))
        yield from repeated("the owner", owners)


def _rates(plan: Plan, path: KeyPath) -> Iterator[Finding]:
    seen: set[str] = set()
    for n, rate in enumerate(plan.rate):
        here: KeyPath = (*path, "rate", n)
        periods = list(rate.limits)
        if not periods:
            yield Finding(
                here, "says no rate", "write `per_minute: 60`, or per_second, _hour, _day"
            )
        elif len(periods) > 1:
            both = " and ".join(f"per_{period}" for period in periods)
            yield Finding(here, f"has {both}: write a list with one rate per entry")
        elif periods[0] in seen:
            yield Finding(here, f"the plan has another rate per {periods[0]}")
        seen.update(periods[:1])


def route_plans(config: Config, _declared: Declared) -> Iterator[Finding]:
    """A plan of a route has `route` among its owners, a plan of anything else another owner."""
    for n, route in enumerate(config.routes):
        plan = config.plans.get(route.plan)
        if plan is not None and "route" not in plan.owners:
            message = f"the plan {quoted(route.plan)} is not for routes"
            yield Finding(("routes", n, "plan"), message, "add `route` to its `owners`")
    for path, name in _caller_plans(config):
        plan = config.plans.get(name)
        if plan is not None and set(plan.owners) == {"route"}:
            message = f"the plan {quoted(name)} is for routes only and would limit nobody here"
            yield Finding(path, message, "add `lineage` or `tenant` to its `owners`")


def _caller_plans(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, environment in config.environments.items():
        yield ("environments", name, "plan"), environment.plan
    for name, template in config.templates.items():
        yield ("templates", name, "plan"), template.plan
    for n, tenant in enumerate(config.bootstrap.tenants):
        yield ("bootstrap", "tenants", n, "plan"), tenant.plan
    for n, key in enumerate(config.bootstrap.keys):
        yield ("bootstrap", "keys", n, "plan"), key.plan


def redis(config: Config, _declared: Declared) -> Iterator[Finding]:
    """What is said of Redis has a Redis to say it of, and fits together."""
    section = config.limits
    url = section.url.get_secret_value()
    if not url:
        for key in ("sentinels", "cluster", "tls"):
            if getattr(section, key) != getattr(Limits(), key):
                hint = "set `limits.url`, such as `redis://localhost`"
                yield Finding(("limits", key), "has no effect: limits are not in a Redis", hint)
        return
    parts = redis_parts(url)
    if section.tls != LimitsTls() and not parts.is_tls:
        yield Finding(
            ("limits", "tls"), "has no effect: `limits.url` does not begin with `rediss://`"
        )
    if section.tls.key and not section.tls.certificate:
        place: KeyPath = ("limits", "tls", "key")
        yield Finding(place, "belongs to no certificate", "set `certificate` as well")
    if section.sentinels and parts.path:
        yield Finding(("limits", "sentinels"), "lead to another machine than a socket of this one")
    if section.cluster and section.sentinels:
        yield Finding(("limits", "cluster"), "has no sentinels: its nodes know each other")
    if section.cluster and parts.database:
        yield Finding(("limits", "url"), "names a database, and a cluster has only one")
    yield from _bursts(config)


def _bursts(config: Config) -> Iterator[Finding]:
    """Redis counts with whole numbers up to 2^53: a burst has to be full again within a century."""
    for name, plan in config.plans.items():
        for n, rate in enumerate(plan.rate):
            for period, limit in rate.limits.items():
                burst = limit if rate.burst is None else rate.burst
                if burst * PERIOD_SECONDS[period] > limit * _CENTURY:
                    where: KeyPath = ("plans", name, "rate", n, "burst")
                    yield Finding(where, "takes more than a century to be full again")
