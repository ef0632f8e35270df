"""Tenancy: a selector reaches the upstream as it came, and limits per acting tenant have one to count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.config.model import Config
from gateway.config.problems import Finding, KeyPath, did_you_mean, one_of, quoted
from gateway.config.rules.names import Declared
from gateway.config.rules.routes import pattern_of, quirks_of
from gateway.domain.match import parse_pattern
from gateway.domain.passage import never_crosses

_SECRETS: Final = frozenset({"access_token", "api_key", "apikey"})


def selector(config: Config, _declared: Declared) -> Iterator[Finding]:
    """What names the tenant is a field that crosses, a parameter that exists, and never a credential."""
    chosen = config.tenancy.selector
    path: KeyPath = ("tenancy", "selector")
    if chosen.query.lower() in _SECRETS:
        yield Finding((*path, "query"), f"{quoted(chosen.query)} is the name of a credential")
    if chosen.header:
        yield from _header(config, chosen.header.lower(), (*path, "header"))
    if chosen.path:
        known = set(_parameters(config))
        if chosen.path not in known:
            message = f"no route has a parameter {quoted(chosen.path)}"
            hint = did_you_mean(chosen.path, known) or one_of(known)
            yield Finding((*path, "path"), message, hint, related=(("routes",),))


def _header(config: Config, name: str, path: KeyPath) -> Iterator[Finding]:
    prefix = config.identity_headers.prefix.lower()
    if never_crosses(name.encode("ascii")) or (prefix and name.startswith(prefix)):
        yield Finding(
            path, "is never forwarded: the upstream would not learn what the client named"
        )
    elif name in _identity(config):
        yield Finding(path, "is set by the gateway itself")
    for n, route in enumerate(config.routes):
        for field in route.headers.request.set:
            if field.lower() == name:
                where: KeyPath = ("routes", n, "headers", "request", "set", field)
                yield Finding(
                    where, "names the tenant (`tenancy.selector`): another one is checked"
                )
    for environment, each in config.environments.items():
        for field in each.forward:
            if field.lower() == name:
                where = ("environments", environment, "forward", field)
                yield Finding(
                    where, "names the tenant (`tenancy.selector`): another one is checked"
                )


def _identity(config: Config) -> set[str]:
    names = config.identity_headers
    values = (getattr(names, field) for field in type(names).model_fields if field != "prefix")
    return {value.lower() for value in values if isinstance(value, str)}


def _parameters(config: Config) -> Iterator[str]:
    for route in config.routes:
        pattern = pattern_of(route)
        if pattern is None:
            continue
        kind, text = pattern
        try:
            shapes = parse_pattern(text, kind, int(quirks_of(route)))
        except ValueError:
            continue  # told by `patterns`
        for shape in shapes:
            yield from shape.parameter_names


def owners(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Without a selector a key acts for one tenant: limits per lineage and tenant are those per lineage."""
    chosen = config.tenancy.selector
    if chosen.query or chosen.header or chosen.path:
        return
    for name, plan in config.plans.items():
        for n, owner in enumerate(plan.owners):
            if owner == "lineage_tenant":
                message = "counts like `lineage`: no request names a tenant"
                hint = "say how in `tenancy.selector`"
                where: KeyPath = ("plans", name, "owners", n)
                yield Finding(where, message, hint, is_warning=True)
