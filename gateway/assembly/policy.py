"""Turns the typed configuration into domain values: formats, scopes, plans, templates, routes.

Knows both vocabularies and nothing that runs. The config passed its rules before, so nothing here is expected to fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Final, Literal

from gateway.config import model
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.keys import KeyRecord
from gateway.domain.limits import Claim, Concurrency, Owner, Plan, Quota, Rate, Rule
from gateway.domain.networks import Allowlist
from gateway.domain.paths import QUIRK_NAMES, Quirk
from gateway.domain.policies import KeyMatch, LifetimeRule, PolicyRules, RotationRule
from gateway.domain.routes import Route
from gateway.domain.scopes import Bundle, ScopeCatalogue
from gateway.domain.shadow import SHADOW, ShadowRules, shadow_rules
from gateway.domain.templates import Template, Templates
from gateway.domain.tenant_selector import TenantSelector
from gateway.domain.tenants import Tenant
from gateway.domain.timeouts import Timeouts

_QUOTA_PERIODS: Final[tuple[Literal["hour", "day", "month"], ...]] = ("hour", "day", "month")
Pairs = tuple[tuple[bytes, bytes], ...]


def peppers(config: model.Config) -> Peppers:
    """Return the active peppers."""
    secrets = {
        name: secret.get_secret_value().encode() for name, secret in config.peppers.keys.items()
    }
    return Peppers(config.peppers.current, secrets)


def key_formats(config: model.Config) -> KeyFormats:
    """Return the key formats."""
    return KeyFormats(
        KeyFormat(
            name,
            section.prefix,
            tuple(section.environments),
            section.random,
            section.checksum == "crc32",
        )
        for name, section in config.key_formats.items()
    )


def scopes(config: model.Config) -> ScopeCatalogue:
    """Return the declared scopes and bundles."""
    bundles = {
        name: Bundle(includes=section.includes, add=section.add)
        for name, section in config.scopes.bundles.items()
    }
    return ScopeCatalogue(config.scopes.atoms, bundles)


def templates(config: model.Config) -> Templates:
    """Return the templates for new keys."""
    return Templates(
        by_name={
            name: Template(
                name=name,
                scopes=section.scopes,
                format=section.key_format,
                environment=section.environment,
                plan=section.plan,
                ip_allowlist=section.ip_allowlist,
                tags=section.tags,
                expires_after_seconds=section.expires_in,
                ip_allowlist_mode=section.ip_allowlist_mode,
                kind=section.kind,
                metadata=section.metadata,
            )
            for name, section in config.templates.items()
        },
        default="default" if "default" in config.templates else "",
    )


def key_policies(config: model.Config) -> PolicyRules:
    """Return the rules for the life of keys."""
    section = config.policies
    return PolicyRules(
        rotation=tuple(
            RotationRule(match=_key_match(each.match), every_seconds=each.every)
            for each in section.rotation
        ),
        expiry=tuple(
            LifetimeRule(
                match=_key_match(each.match),
                seconds_max=each.lifetime_max,
                is_enforced=each.mode == "enforce",
            )
            for each in section.expiry
        ),
        rotation_grace_seconds=section.rotation_grace,
        reminders=section.reminders,
    )


def _key_match(section: model.KeyMatch) -> KeyMatch:
    return KeyMatch(scopes=section.scopes, tags=section.tags, templates=section.templates)


def environment_aliases(config: model.Config) -> dict[str, str]:
    """Return alias -> environment."""
    return {
        alias: name for name, section in config.environments.items() for alias in section.aliases
    }


def plans(config: model.Config, before: Mapping[str, Plan] | None = None) -> dict[str, Plan]:
    """Return the plans by name; one that is equal in `before` is the same, so that its buckets go on untouched."""
    known = before or {}
    made = {
        name: Plan(
            name=name,
            rules=tuple(_rules(section)),
            owners=section.owners,
            is_shadow=section.mode == SHADOW,
        )
        for name, section in config.plans.items()
    }
    return {name: known[name] if known.get(name) == plan else plan for name, plan in made.items()}


def tenant_selector(config: model.Config) -> TenantSelector | None:
    """Return what reads the tenant that a request names, None where none is configured."""
    section = config.tenancy.selector
    if not (section.query or section.header or section.path):
        return None
    return TenantSelector(query=section.query, header=section.header, path=section.path)


def caller_plans(config: model.Config) -> frozenset[str]:
    """Return the plans that a key or tenant may be on: one for routes only would not limit it at all."""
    return frozenset(
        name for name, section in config.plans.items() if set(section.owners) != {"route"}
    )


def _rules(section: model.Plan) -> Iterator[Rule]:
    for rate in section.rate:
        for period, limit in rate.limits.items():
            yield Rate(
                name=period,
                limit=limit,
                window_seconds=model.PERIOD_SECONDS[period],
                burst=limit if rate.burst is None else rate.burst,
            )
    for span in _QUOTA_PERIODS:
        count: int | None = getattr(section.quota, f"per_{span}")
        if count is not None:
            yield Quota(name="daily" if span == "day" else f"{span}ly", limit=count, period=span)
    if section.concurrency is not None:
        yield Concurrency(name="concurrency", limit=section.concurrency)


def plan_names(config: model.Config, record: KeyRecord, tenant: Tenant) -> tuple[str, ...]:
    """Return the plans that limit a key: its own before that of its tenant, which it takes if it has none.

    The plan of its environment stands in for both. Raises `LookupError` for an environment that left the config: its
    plan and its denials went with it.
    """
    environment = config.environments.get(record.environment)
    if environment is None:
        raise LookupError(
            f"{record.key_id} belongs to environment {record.environment!r}, which the config does not declare"
        )
    names = (environment.plan,) if environment.plan else (record.plan, tenant.plan)
    return tuple(dict.fromkeys(name for name in names if name))


def claims(plan: Plan | None, kind: Owner, owner: str) -> tuple[Claim, ...]:
    """Return what `owner` draws on under `plan`, if the plan counts for owners of this kind."""
    if plan is None or kind not in plan.owners:
        return ()
    return tuple(
        Claim(
            bucket=f"{kind}:{owner}:{plan.name}:{rule.name}",
            policy=f"{plan.name}/{rule.name}",
            rule=rule,
        )
        for rule in plan.rules
    )


def routes(config: model.Config, by_name: Mapping[str, Plan]) -> list[Route]:
    """Return the route table's routes."""
    return [_route(section, config, by_name) for section in config.routes]


def _route(section: model.Route, config: model.Config, by_name: Mapping[str, Plan]) -> Route:
    match, path, headers = section.match, section.path, section.headers
    kind: Literal["path", "prefix", "regex"] = (
        "path" if match.path else "prefix" if match.prefix else "regex"
    )
    plan = by_name.get(section.plan)
    limits = claims(plan, "route", section.name)
    addresses = section.ip_allowlist
    allowlist = Allowlist(addresses.allow, "route") if addresses.allow else None
    return Route(
        name=section.name,
        pattern=match.path or match.prefix or match.regex,
        kind=kind,
        hosts=match.hosts,
        methods=frozenset() if "*" in match.methods else frozenset(match.methods),
        needs_key=section.auth == "key",
        scopes=section.scopes if section.scopes_mode != SHADOW else (),
        environments=frozenset(section.environments),
        allowlist=allowlist if addresses.mode != SHADOW else None,
        upstream=section.upstream,
        handler=section.handler,
        claims=limits if plan is None or not plan.is_shadow else (),
        shadow=_shadow(section, plan, limits, allowlist),
        allowed_quirks=reduce(or_, (QUIRK_NAMES[name] for name in path.allow), Quirk(0)),
        strip_prefix=path.strip_prefix,
        rewrite=path.rewrite,
        request_headers_set=_pairs(headers.request.set),
        request_headers_remove=_names(headers.request.remove, headers.request.set),
        response_headers_set=_pairs(headers.response.set),
        response_headers_remove=_names(headers.response.remove, headers.response.set),
        body_bytes_max=section.body_bytes_max,
        timeouts=_timeouts(section, config),
    )


def _shadow(
    section: model.Route, plan: Plan | None, limits: tuple[Claim, ...], allowlist: Allowlist | None
) -> ShadowRules | None:
    """Return the rules of the route that are in shadow mode, None without any."""
    return shadow_rules(
        scopes=section.scopes if section.scopes_mode == SHADOW else (),
        allowlists=(allowlist,) if allowlist and section.ip_allowlist.mode == SHADOW else (),
        plans=(limits,) if plan is not None and plan.is_shadow else (),
    )


def _timeouts(section: model.Route, config: model.Config) -> Mapping[str, Timeouts]:
    """Return the route's own timeouts on each upstream that may serve it; none when it has none of its own."""
    own = section.timeout
    if own == model.RouteTimeout() or not section.upstream:
        return {}
    given = {
        "connect_seconds": own.connect,
        "response_seconds": own.response_headers,
        "idle_seconds": own.idle,
        "total_seconds": own.total,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    name = section.upstream
    chosen = {each.upstreams.get(name, name) for each in config.environments.values()}
    return {
        upstream: replace(upstream_timeouts(config.upstreams[upstream]), **changed)
        for upstream in sorted({name, *chosen})
    }


def upstream_timeouts(section: model.Upstream) -> Timeouts:
    """Return an upstream's timeouts."""
    own = section.timeout
    return Timeouts(
        connect_seconds=own.connect,
        response_seconds=own.response_headers,
        idle_seconds=own.idle,
        total_seconds=own.total,
    )


def barred(config: model.Config) -> frozenset[tuple[str, str]]:
    """Return the pairs (environment, route name) that `environments.*.deny` rules out."""
    pairs = set()
    for environment, section in config.environments.items():
        for denied in section.deny:
            method, _, path = denied.partition(" ")
            for route in config.routes:
                match = route.match
                if path == (match.path or match.prefix or match.regex) and _meets(
                    method, match.methods
                ):
                    pairs.add((environment, route.name))
    return frozenset(pairs)


def _meets(method: str, methods: tuple[str, ...]) -> bool:
    return method == "*" or "*" in methods or method in methods


def _pairs(fields: Mapping[str, str]) -> Pairs:
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in fields.items())


def _names(removed: tuple[str, ...], replaced: Mapping[str, str]) -> frozenset[bytes]:
    """Return the lower-case names that must not cross: the removed ones and those that are set anew."""
    return frozenset(name.lower().encode("ascii") for name in (*removed, *replaced))
