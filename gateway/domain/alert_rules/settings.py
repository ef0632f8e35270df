"""How a rule is set: on or off, its numbers, how long it waits, who is told; and what one tenant sets otherwise.

Knows how the settings of a tenant lie over those of the gateway. It must not know where either is written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alert_rules.durations import read_seconds
from gateway.domain.alerts import AT_ONCE, Patience, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """The settings of one rule. `channels` are the names of those who are told. `except_tags`: keys that have one of
    these tags are left alone.
    """

    name: RuleName
    is_enabled: bool = True
    severity: Severity = Severity.WARNING
    patience: Patience = AT_ONCE
    channels: tuple[str, ...] = ()
    except_tags: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, number: str) -> float:
        """Return the number called so."""
        return self.numbers[number]


class RuleBook:
    """The settings of all rules, for the gateway or for one tenant."""

    __slots__ = ("_by_name",)

    def __init__(self, settings: Mapping[RuleName, RuleSettings]) -> None:
        self._by_name = dict(settings)

    def __getitem__(self, name: RuleName) -> RuleSettings:
        """Return the settings of the rule called so."""
        return self._by_name[name]

    def under(self, alerts: Mapping[str, Any]) -> RuleBook:
        """Return the book as a tenant with these `Tenant.alerts` has it, which broke no rule (`overrides`)."""
        own = alerts.get("rules", {})
        return RuleBook(
            {
                name: _overlaid(settings, own[name.value]) if name.value in own else settings
                for name, settings in self._by_name.items()
            }
        )


_WAITS: Final = {"fire_after": "fire_after_seconds", "resolve_after": "resolve_after_seconds"}


def _overlaid(settings: RuleSettings, own: Mapping[str, Any]) -> RuleSettings:
    waits = {_WAITS[name]: read_seconds(own[name]) for name in _WAITS if name in own}
    numbers = {
        name: read_seconds(own[name]) if number.is_duration else float(own[name])
        for name, number in RULES[settings.name].numbers.items()
        if name in own
    }
    return replace(
        settings,
        is_enabled=own.get("enabled", settings.is_enabled),
        severity=Severity(own.get("severity", settings.severity)),
        patience=replace(settings.patience, **waits),
        except_tags=tuple(own.get("except_tags", settings.except_tags)),
        numbers={**settings.numbers, **numbers},
    )
