"""Which values keys and tenants may have.

Knows every limit on a field, each with its reason, and says all that is wrong at once. It must not
know how a value arrived (HTTP, command line, bootstrap) or what is stored already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.domain.alert_rules import overrides
from gateway.domain.keys import KeyKind
from gateway.domain.networks import Allowlist
from gateway.domain.redaction import without_secret
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.tenants import TENANT_ID

Problem = tuple[str, str]
"""A JSON pointer (RFC 6901) into what was asked for, and what is wrong there."""


class Refused(Exception):
    """What was asked for breaks rules: `problems` says where and why, all at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{pointer}: {text}" for pointer, text in self.problems))


NAME_LENGTH_MAX: Final = 100
REASON_LENGTH_MAX: Final = 500
METADATA_BYTES_MAX: Final = 4096
TAGS_MAX: Final = 20
TAG_LENGTH_MAX: Final = 50
NETWORKS_MAX: Final = 256  # every request of the key is tested against them
SCOPES_MAX: Final = 256
TENANTS_MAX: Final = 1000  # they are kept in memory with the key
MODES: Final = ("enforce", "shadow")
EXPIRES_AT_MAX: Final = 253_402_300_800  # 10000-01-01: RFC 3339 has four digits for the year

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Rules:
    """The rules of every field, bound to the scopes, plans and templates that the config declares.

    `zone_named` knows the time zones.
    """

    def __init__(
        self,
        scopes: ScopeCatalogue,
        plans: Collection[str],
        templates: Collection[str] = (),
        zone_named: overrides.ZoneNamed = lambda _: None,
    ) -> None:
        self._scopes = scopes
        self._plans = plans
        self._templates = templates
        self._zone_named = zone_named
        self._checks: dict[str, Callable[[Any], Iterator[str | Problem]]] = {
            "name": _name,
            "tags": _tags,
            "metadata": _metadata,
            "ip_allowlist": _networks,
            "reason": _reason,
            "tenant_id": _tenant_id,
            "tenants": _tenant_ids,
            "kind": _kind,
            "default_template": self._template,
            "alerts": self._alerts,
            "ip_allowlist_mode": _mode,
            "export_name": _export_name,
            "scopes": self._scope_names,
            "plan": self._plan,
        }

    def problems(self, values: Mapping[str, Any], now: float) -> list[Problem]:
        """Return what is wrong with `values`, field by field; `expires_at` must lie after `now`
        (epoch seconds), and `tenants` need the `kind` of their key beside them.
        """
        found: list[Problem] = []
        for field, value in values.items():
            for problem in self._checks.get(field, _anything)(value):
                below, text = ("", problem) if isinstance(problem, str) else problem
                found.append((f"/{field}{below}", text))
        expires_at = values.get("expires_at")
        if expires_at is not None and not now < expires_at < EXPIRES_AT_MAX:
            found.append(("/expires_at", "must lie in the future, before the year 10000"))
        if values.get("tenants") and values.get("kind") != KeyKind.MULTI_TENANT:
            found.append(("/tenants", f"only a key of kind {KeyKind.MULTI_TENANT} has any"))
        return found

    def require(self, values: Mapping[str, Any], now: float) -> None:
        """Raise `Refused` unless `values` break no rule."""
        problems = self.problems(values, now)
        if problems:
            raise Refused(problems)

    def _scope_names(self, names: Sequence[str]) -> Iterator[str | Problem]:
        if len(names) > SCOPES_MAX:
            yield f"has {len(names)} entries; {SCOPES_MAX} is the most"
            return
        for index, name in enumerate(names):
            complaint = self._scopes.complaint(name)
            if complaint:
                yield f"/{index}", complaint

    def _alerts(self, alerts: Mapping[str, Any]) -> Iterator[str | Problem]:
        yield from _metadata(alerts)
        yield from overrides.problems(alerts, self._zone_named)

    def _plan(self, plan: str) -> Iterator[str]:
        if plan and plan not in self._plans:
            known = ", ".join(sorted(self._plans)) or "none"
            yield f"unknown plan '{plan}' (declared: {known})"

    def _template(self, name: str) -> Iterator[str]:
        if name and name not in self._templates:
            known = ", ".join(sorted(self._templates)) or "none"
            yield f"unknown template '{name}' (declared: {known})"


def settled(record: object, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that `changes` of `record` lead to: lists as tuples, objects with their patch."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
    }
    for name in ("metadata", "alerts"):
        if name in values:
            patch = values[name]
            values[name] = {} if patch is None else merged(getattr(record, name), patch)
    return values


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `target` with `patch` applied as a JSON merge patch (RFC 7396): null removes, objects
    merge.
    """
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            inner = result.get(name)
            result[name] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def _anything(_value: object) -> Iterator[str]:
    return iter(())


def _text(value: str, length_max: int) -> Iterator[str]:
    if not value.strip():
        yield "must not be empty"
    elif len(value) > length_max:
        yield f"has {len(value)} characters; {length_max} is the most"
    elif not value.isprintable():  # a control character in a listing can rewrite a terminal
        yield "must hold printable characters only"
    elif without_secret(value) != value:
        yield "holds what looks like a secret: everybody with access may read this"


def _name(value: str) -> Iterator[str]:
    return _text(value, NAME_LENGTH_MAX)


def require_reason(reason: str) -> None:
    """Raise `Refused` unless `reason` says something that can be recorded."""
    problems = [("/reason", text) for text in _reason(reason)]
    if problems:
        raise Refused(problems)


def _reason(value: str) -> Iterator[str]:
    return _text(value, REASON_LENGTH_MAX)


def _tenant_id(value: str) -> Iterator[str]:
    if not TENANT_ID.fullmatch(value):
        yield "must be 1 to 64 letters, digits, '_', '.', '-' and start with a letter or digit"


def _tenant_ids(ids: Sequence[str]) -> Iterator[str | Problem]:
    if len(ids) > TENANTS_MAX:
        yield f"has {len(ids)} entries; {TENANTS_MAX} is the most"
        return
    for index, each in enumerate(ids):
        yield from _below(index, _tenant_id(each))


def _kind(value: str) -> Iterator[str]:
    if value not in list(KeyKind):
        yield f"is one of {', '.join(KeyKind)}"


def _mode(value: str) -> Iterator[str]:
    if value not in MODES:
        yield f"is one of {', '.join(MODES)}"


def _export_name(value: str) -> Iterator[str]:
    if value and not _VARIABLE.fullmatch(value):
        yield "must be the name of a variable: letters, digits and '_', not beginning with a digit"


def _tags(tags: Sequence[str]) -> Iterator[str | Problem]:
    if len(tags) > TAGS_MAX:
        yield f"has {len(tags)} entries; {TAGS_MAX} is the most"
        return
    for index, tag in enumerate(tags):
        yield from _below(index, _text(tag, TAG_LENGTH_MAX))


def _networks(entries: Sequence[str]) -> Iterator[str | Problem]:
    if len(entries) > NETWORKS_MAX:
        yield f"has {len(entries)} entries; {NETWORKS_MAX} is the most"
        return
    for index, entry in enumerate(entries):
        if complaint := _complaint(entry):
            yield f"/{index}", complaint


def _complaint(network: str) -> str:
    try:
        Allowlist((network,))
    except ValueError as error:
        return str(error)
    return ""


def _metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    try:
        text = json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None:
        yield "must be a JSON object"
    elif len(text.encode()) > METADATA_BYTES_MAX:
        yield f"is longer than {METADATA_BYTES_MAX} bytes of JSON"


def _below(index: int, texts: Iterable[str]) -> Iterator[Problem]:
    return ((f"/{index}", text) for text in texts)
