"""What a new key shall be: the request, then its template, then the only choice that is left.

Knows the order in which these sources are asked. It must not know randomness, digests or the store:
a blueprint is not yet a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.key_rules import Problem
from gateway.domain.keys import KeyKind
from gateway.domain.templates import Template, Templates

_NO_TEMPLATE: Final = Template(name="")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """What is asked for; an empty text or None leaves the choice to the template.

    `scopes` () asks for a key that may only prove who it is. `expires_at` is epoch seconds. `tenants`
    are further ones that a key of the kind `multi_tenant` acts for.
    """

    tenant_id: str
    name: str
    environment: str = ""
    scopes: tuple[str, ...] | None = None
    template: str = ""
    format: str = ""
    plan: str = ""
    ip_allowlist: tuple[str, ...] | None = None
    ip_allowlist_mode: str = ""
    kind: str = ""
    tenants: tuple[str, ...] = ()
    expires_at: float | None = None
    tags: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Blueprints:
    """Completes wishes with the templates, formats and environment names of the config."""

    def __init__(
        self,
        formats: KeyFormats,
        templates: Templates,
        environment_aliases: Mapping[str, str],
    ) -> None:
        self._templates = templates
        self._aliases = environment_aliases
        self._formats = {each.name: each for each in formats if not each.is_foreign}

    def template_of(self, wish: KeyWish, of_tenant: str = "") -> Template:
        """Return the named template, else for a wish without scopes the default one of its tenant
        or of the product, else an empty one.
        """
        default = of_tenant or self._templates.default
        name = wish.template or (default if wish.scopes is None else "")
        return self._templates.by_name.get(name, _NO_TEMPLATE)

    def complete(self, wish: KeyWish, now: float, of_tenant: str = "") -> dict[str, Any]:
        """Return the fields of the new record; empty what `problems` complains about.

        `of_tenant` is the default template of its tenant.
        """
        template = self.template_of(wish, of_tenant)
        key_format = wish.format or template.format or _only(self._formats)
        environment = wish.environment or template.environment
        lifetime = template.expires_after_seconds
        until = None if lifetime is None else now + lifetime
        return {
            "tenant_id": wish.tenant_id,
            "name": wish.name,
            "format": key_format,
            "environment": self.environment(environment or self._only_environment(key_format)),
            "scopes": _first(wish.scopes, template.scopes),
            "ip_allowlist": _first(wish.ip_allowlist, template.ip_allowlist),
            "ip_allowlist_mode": wish.ip_allowlist_mode or template.ip_allowlist_mode or "enforce",
            "plan": wish.plan or template.plan,
            "tags": _first(wish.tags, template.tags),
            "metadata": {**template.metadata, **wish.metadata},
            "template": template.name,
            "kind": wish.kind or template.kind or KeyKind.REGULAR.value,
            "tenants": tuple(wish.tenants),
            "expires_at": until if wish.expires_at is None else wish.expires_at,
        }

    def environment(self, name: str) -> str:
        """Return the environment called `name`, which may be an alias (`production` for `live`)."""
        return self._aliases.get(name, name)

    def minting_format(self, name: str, environment: str) -> KeyFormat | None:
        """Return the format `name` if it mints keys for `environment`, else the only one that does."""
        able = {n: each for n, each in self._formats.items() if environment in each.environments}
        return able.get(name) or able.get(_only(able))

    def problems(self, wish: KeyWish, fields: Mapping[str, Any]) -> Iterator[Problem]:
        """Say what the sources could not decide, or decided against each other."""
        templates = self._templates.by_name
        if wish.template and wish.template not in templates:
            yield "/template", f"unknown template '{wish.template}' ({_names(templates)})"
        elif wish.scopes is None and not fields["template"]:
            yield "/scopes", f"give scopes, or a template ({_names(templates)})"
        key_format = self._formats.get(fields["format"])
        if key_format is None:
            yield "/format", f"must name a format that mints keys ({_names(self._formats)})"
        else:
            yield from environment_problems(key_format, fields["environment"])

    def _only_environment(self, format_name: str) -> str:
        key_format = self._formats.get(format_name)
        return _only(key_format.environments) if key_format else ""


def environment_problems(key_format: KeyFormat, environment: str) -> Iterator[Problem]:
    """Say whether keys of `key_format` can belong to `environment`."""
    if environment not in key_format.environments:
        known = ", ".join(key_format.environments)
        yield "/environment", f"format '{key_format.name}' has the environments {known}"


def _only(names: Mapping[str, KeyFormat] | tuple[str, ...]) -> str:
    return next(iter(names)) if len(names) == 1 else ""


def _first(asked: tuple[str, ...] | None, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    return otherwise if asked is None else tuple(asked)


def _names(known: Mapping[str, object]) -> str:
    return f"declared: {', '.join(sorted(known)) or 'none'}"
