"""Names that are used must be declared.

Knows which names each part of the file declares. It must not know what the named things mean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from gateway.config.model import Config, KeyMatch
from gateway.config.problems import Finding, KeyPath, did_you_mean, one_of, quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The declared names of each kind, including entries whose content is wrong."""

    plans: frozenset[str]
    upstreams: frozenset[str]
    environments: frozenset[str]
    key_formats: frozenset[str]
    bundles: frozenset[str]
    tenants: frozenset[str]
    peppers: frozenset[str]
    templates: frozenset[str]
    channels: frozenset[str]

    @classmethod
    def of(cls, config: Config, raw: object = None) -> Self:
        """Collect the names from `config`, and from the plain file for what `config` had to leave
        out."""
        return cls(
            plans=frozenset(config.plans) | _keys(raw, "plans"),
            upstreams=frozenset(config.upstreams) | _keys(raw, "upstreams"),
            environments=frozenset(config.environments) | _keys(raw, "environments"),
            key_formats=frozenset(config.key_formats) | _keys(raw, "key_formats"),
            bundles=frozenset(config.scopes.bundles) | _keys(raw, "scopes", "bundles"),
            tenants=frozenset(t.id for t in config.bootstrap.tenants)
            | _ids(raw, "bootstrap", "tenants"),
            peppers=frozenset(config.peppers.keys) | (_keys(raw, "peppers") - {"current"}),
            templates=frozenset(config.templates) | _keys(raw, "templates"),
            channels=frozenset(config.channels) | _keys(raw, "channels"),
        )


def _at(raw: object, path: Iterable[str]) -> object:
    for step in path:
        raw = raw.get(step) if isinstance(raw, Mapping) else None
    return raw


def _keys(raw: object, *path: str) -> frozenset[str]:
    value = _at(raw, path)
    return frozenset(value) if isinstance(value, Mapping) else frozenset()


def _ids(raw: object, *path: str) -> frozenset[str]:
    value = _at(raw, path)
    entries = value if isinstance(value, list) else ()
    found = (entry.get("id") for entry in entries if isinstance(entry, Mapping))
    return frozenset(name for name in found if isinstance(name, str))


def undeclared(
    kind: str, used: Iterable[tuple[KeyPath, str]], declared: Collection[str], about: KeyPath
) -> Iterator[Finding]:
    """Yield a finding for each used name that is not declared; empty names mean none."""
    for path, name in used:
        if name and name not in declared:
            hint = did_you_mean(name, declared) or one_of(declared)
            where = ".".join(map(str, about))
            message = f"{kind} {quoted(name)} is not declared in `{where}`"
            yield Finding(path, message, hint, about)


def repeated(
    kind: str, used: Iterable[tuple[KeyPath, str]], *, is_shown: bool = True
) -> Iterator[Finding]:
    """Yield a finding for each name that was used before; `is_shown` repeats it in the message."""
    seen: set[str] = set()
    for path, name in used:
        if name in seen:
            what = f"{kind} {quoted(name)}" if is_shown else kind
            yield Finding(path, f"{what} is used twice")
        seen.add(name)


def names(config: Config, declared: Declared) -> Iterator[Finding]:
    """Every plan, upstream, environment, key format and template that is used is declared."""
    yield from undeclared("the plan", _plans(config), declared.plans, ("plans",))
    yield from undeclared("the upstream", _upstreams(config), declared.upstreams, ("upstreams",))
    yield from undeclared(
        "the environment", _environments(config), declared.environments, ("environments",)
    )
    yield from undeclared(
        "the key format", _key_formats(config), declared.key_formats, ("key_formats",)
    )
    yield from undeclared("the template", _templates(config), declared.templates, ("templates",))


def _plans(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, environment in config.environments.items():
        yield ("environments", name, "plan"), environment.plan
    for name, template in config.templates.items():
        yield ("templates", name, "plan"), template.plan
    for n, route in enumerate(config.routes):
        yield ("routes", n, "plan"), route.plan
    for n, tenant in enumerate(config.bootstrap.tenants):
        yield ("bootstrap", "tenants", n, "plan"), tenant.plan
    for n, key in enumerate(config.bootstrap.keys):
        yield ("bootstrap", "keys", n, "plan"), key.plan


def _upstreams(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for n, route in enumerate(config.routes):
        yield ("routes", n, "upstream"), route.upstream
    for name, environment in config.environments.items():
        for replaced, replacement in environment.upstreams.items():
            path: KeyPath = ("environments", name, "upstreams", replaced)
            yield path, replaced
            yield path, replacement


def _environments(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, key_format in config.key_formats.items():
        for n, environment in enumerate(key_format.environments):
            yield ("key_formats", name, "environments", n), environment
    for name, template in config.templates.items():
        yield ("templates", name, "environment"), template.environment
    for n, route in enumerate(config.routes):
        for m, environment in enumerate(route.environments):
            yield ("routes", n, "environments", m), environment
    for n, key in enumerate(config.bootstrap.keys):
        yield ("bootstrap", "keys", n, "environment"), key.environment


def _key_formats(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, template in config.templates.items():
        yield ("templates", name, "key_format"), template.key_format
    for n, key in enumerate(config.bootstrap.keys):
        yield ("bootstrap", "keys", n, "format"), key.format


def _templates(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for n, tenant in enumerate(config.bootstrap.tenants):
        yield ("bootstrap", "tenants", n, "default_template"), tenant.default_template
    for path, match in matches(config):
        for n, name in enumerate(match.templates):
            yield (*path, "templates", n), name


def matches(config: Config) -> Iterator[tuple[KeyPath, KeyMatch]]:
    """Yield which keys each policy is about."""
    for n, rotation in enumerate(config.policies.rotation):
        yield ("policies", "rotation", n, "match"), rotation.match
    for n, expiry in enumerate(config.policies.expiry):
        yield ("policies", "expiry", n, "match"), expiry.match
