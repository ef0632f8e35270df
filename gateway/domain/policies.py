"""Policies for keys: how often a key is to be rotated, and how long it may live at most.

Knows which keys a rule is about (by what they may do, their tags, their template) and that the first rule that fits
counts. It must not know the clock, nor who is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.domain.dialects.fill import timestamp
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.scopes import ScopeCatalogue

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMatch:
    """Which keys a rule is about: every criterion that is given must fit, each by any of its names; none: all keys.

    `scopes` are names as keys are granted them (`*:write`): a key fits that may do any of it.
    """

    scopes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


ANY_KEY: Final = KeyMatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationRule:
    """Keys that `match` are due for rotation `every_seconds` after their creation."""

    match: KeyMatch = ANY_KEY
    every_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeRule:
    """Keys that `match` live at most `seconds_max` from their creation; not enforced, they are only warned of."""

    match: KeyMatch = ANY_KEY
    seconds_max: float
    is_enforced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRules:
    """The rules of a config. `reminders` are how long before its expiry the owner of a key is told."""

    rotation: tuple[RotationRule, ...] = ()
    expiry: tuple[LifetimeRule, ...] = ()
    rotation_grace_seconds: float = 7 * DAY_SECONDS
    reminders: tuple[float, ...] = (7 * DAY_SECONDS,)


class Overstay(NamedTuple):
    """A key would live longer than a rule wants; `text` says what to send instead."""

    text: str
    is_enforced: bool


NO_RULES: Final = PolicyRules()


class Policies:
    """The rules of a config, bound to the scopes that it declares."""

    def __init__(self, scopes: ScopeCatalogue, rules: PolicyRules = NO_RULES) -> None:
        self._scopes = scopes
        self.rules = rules

    def rotation_due(self, record: KeyRecord, now: float) -> float | None:
        """Return when `record` has to be rotated (epoch seconds); None for never, or for a key that is not in use.

        A key that has a successor already is not due.
        """
        if record.state_at(now) not in (KeyState.ACTIVE, KeyState.SUSPENDED):
            return None
        for rule in self.rules.rotation:
            if self._fits(rule.match, record.scopes, record.tags, record.template):
                return record.created_at + rule.every_seconds
        return None

    def overstay(self, key: Mapping[str, Any], created_at: float) -> Overstay | None:
        """Return what there is against the end of a key with these fields, or None."""
        rule = self._lifetime(key["scopes"], key["tags"], key["template"])
        if rule is None:
            return None
        latest = created_at + rule.seconds_max
        if key["expires_at"] is not None and key["expires_at"] <= latest:
            return None
        text = (
            f"keys like this one live {rule.seconds_max / DAY_SECONDS:g} days at most: "
            f"send an expires_at no later than {timestamp(latest)}"
        )
        return Overstay(text, rule.is_enforced)

    def capped(self, record: KeyRecord, created_at: float) -> float | None:
        """Return when a key like `record` that is created at `created_at` ends: not after `record`, and as the enforced
        rule wants.
        """
        rule = self._lifetime(record.scopes, record.tags, record.template)
        if rule is None or not rule.is_enforced:
            return record.expires_at
        latest = created_at + rule.seconds_max
        return latest if record.expires_at is None else min(record.expires_at, latest)

    def _lifetime(
        self, scopes: Iterable[str], tags: Sequence[str], template: str
    ) -> LifetimeRule | None:
        for rule in self.rules.expiry:
            if self._fits(rule.match, scopes, tags, template):
                return rule
        return None

    def _fits(
        self, match: KeyMatch, scopes: Iterable[str], tags: Sequence[str], template: str
    ) -> bool:
        granted, named = self._scopes.granted(scopes), self._scopes.granted(match.scopes)
        return (
            (not match.scopes or not granted.isdisjoint(named))
            and (not match.tags or not set(match.tags).isdisjoint(tags))
            and (not match.templates or template in match.templates)
        )
