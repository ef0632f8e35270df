"""Keys: peppers, formats, environments, templates, and the keys that the file declares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.config.model import Config
from gateway.config.problems import Finding, KeyPath, did_you_mean, one_of, quoted
from gateway.config.rules.names import Declared, repeated, undeclared

PEPPER_BYTES_MIN: Final = 32
"""As long as the output of HMAC-SHA256: a shorter one is easier to guess than the hash (RFC 2104).
"""

_PEPPER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def peppers(config: Config, declared: Declared) -> Iterator[Finding]:
    """Every pepper is long enough and `current` names one. No message repeats a pepper."""
    if config.peppers.current not in declared.peppers:
        # The value is not repeated: it may be the pepper itself, written in the wrong place.
        yield Finding(
            ("peppers", "current"),
            "does not name one of the peppers",
            did_you_mean(config.peppers.current, declared.peppers) or one_of(declared.peppers),
        )
    for name, pepper in config.peppers.keys.items():
        path: KeyPath = ("peppers", name)
        if not _PEPPER_ID.fullmatch(name):
            yield Finding(path, "the id of a pepper is letters, digits, `.`, `_` and `-`")
        size = len(pepper.get_secret_value().encode())
        if size < PEPPER_BYTES_MIN:
            message = f"has {size} bytes and needs at least {PEPPER_BYTES_MIN}"
            yield Finding(path, message, "make one with `openssl rand -hex 32`")


def key_formats(config: Config, _declared: Declared) -> Iterator[Finding]:
    """A key can be told from every other format by its first two parts."""
    heads: dict[tuple[str, str], str] = {}
    for name, each in config.key_formats.items():
        path: KeyPath = ("key_formats", name)
        if not each.prefix and each.checksum != "none":
            message = "foreign tokens have no checksum of ours: write `checksum: none`"
            yield Finding((*path, "checksum"), message)
        environments = [((*path, "environments", n), e) for n, e in enumerate(each.environments)]
        yield from repeated("the environment", environments)
        for environment in each.environments if each.prefix else ("",):
            head = (each.prefix, environment)
            other = heads.setdefault(head, name)
            if other != name:
                looks = f"`{each.prefix}_{environment}_`" if each.prefix else "any shape"
                message = f"the key format {quoted(other)} already claims tokens of {looks}"
                yield Finding((*path, "prefix"), message)
                break


def environments(config: Config, declared: Declared) -> Iterator[Finding]:
    """An alias means one environment."""
    seen: dict[str, str] = {}
    for name, environment in config.environments.items():
        for n, alias in enumerate(environment.aliases):
            path: KeyPath = ("environments", name, "aliases", n)
            if alias in declared.environments:
                yield Finding(path, f"{quoted(alias)} is the name of an environment")
            elif alias in seen:
                message = f"{quoted(alias)} already means the environment {quoted(seen[alias])}"
                yield Finding(path, message)
            seen.setdefault(alias, name)


def offered(config: Config, declared: Declared) -> Iterator[Finding]:
    """A format offers each environment that a route, template or key wants."""
    every = {e for each in config.key_formats.values() for e in each.environments}
    for n, route in enumerate(config.routes):
        for m, environment in enumerate(route.environments):
            if environment in declared.environments and environment not in every:
                hint = "no key could call this route"
                message = f"no key format offers the environment {quoted(environment)}"
                path: KeyPath = ("routes", n, "environments", m)
                yield Finding(path, message, hint, related=(("key_formats",),))
    wanted: list[tuple[KeyPath, str, str]] = [
        (("templates", name, "environment"), t.key_format, t.environment)
        for name, t in config.templates.items()
    ]
    for n, key in enumerate(config.bootstrap.keys):
        wanted.append((("bootstrap", "keys", n, "environment"), key.format, key.environment))
    yield from _mismatched(config, declared, wanted)


def _mismatched(
    config: Config, declared: Declared, wanted: list[tuple[KeyPath, str, str]]
) -> Iterator[Finding]:
    for path, name, environment in wanted:
        key_format = config.key_formats.get(name)
        if key_format is None or environment not in declared.environments:
            continue  # reported as undeclared, or left open
        if environment not in key_format.environments:
            message = f"the key format {quoted(name)} does not offer {quoted(environment)}"
            hint = one_of(key_format.environments)
            yield Finding(path, message, hint, related=(("key_formats", name),))


def bootstrap(config: Config, declared: Declared) -> Iterator[Finding]:
    """Declared keys belong to declared tenants and peppers, and nothing is declared twice."""
    keys = list(enumerate(config.bootstrap.keys))
    root: KeyPath = ("bootstrap", "keys")
    owners = [((*root, n, "tenant"), key.tenant) for n, key in keys]
    yield from undeclared("the tenant", owners, declared.tenants, ("bootstrap", "tenants"))
    parents = {tenant.id: tenant.parent for tenant in config.bootstrap.tenants}
    for n, tenant in enumerate(config.bootstrap.tenants):
        path: KeyPath = ("bootstrap", "tenants", n, "parent")
        above = [(path, tenant.parent)]
        yield from undeclared("the tenant", above, declared.tenants, ("bootstrap", "tenants"))
        if parents.get(tenant.parent):
            yield Finding(path, f"the tenant {quoted(tenant.parent)} has a parent itself")
    for n, key in keys:
        if key.tenants and key.kind == "regular":
            message = "a regular key acts for its own tenant only"
            yield Finding((*root, n, "tenants"), message, "write `kind: multi_tenant`")
    used = [((*root, n, "pepper"), key.pepper) for n, key in keys]
    yield from undeclared("the pepper", used, declared.peppers, ("peppers",))
    yield from repeated("the key id", [((*root, n, "id"), key.id) for n, key in keys])
    yield from repeated(
        "the hash", [((*root, n, "hash"), key.hash) for n, key in keys], is_shown=False
    )
    tenants = enumerate(config.bootstrap.tenants)
    ids: list[tuple[KeyPath, str]] = [(("bootstrap", "tenants", n, "id"), t.id) for n, t in tenants]
    yield from repeated("the tenant id", ids)
