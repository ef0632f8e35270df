"""Alerts, rules and usage for tests: whole, and different from each other where they must be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.alerts.settings import AlertSettings, rule_book
from gateway.config import model
from gateway.domain.alert_routing import ChannelTerms
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.settings import RuleBook, RuleSettings
from gateway.domain.alerts import Alert, Finding
from gateway.domain.policies import Policies, PolicyRules
from gateway.domain.usage import Measures, UsageRow
from tests.key_samples import HIREPANDA

NOW = 1_700_000_000.0
DAY = 86_400.0


def a_book(**rules: Any) -> RuleBook:
    """Return the rules with their defaults, but for what is given: `ApiKeyUnusualVolume={"factor": 2}`."""
    return rule_book(model.Alerts.model_validate({"rules": rules, "channels": ["ops"]}))


def a_rule(name: RuleName, **values: Any) -> RuleSettings:
    return a_book(**{name.value: values})[name]


def a_finding(**values: Any) -> Finding:
    given: dict[str, Any] = {
        "rule": RuleName.HIGH_ERROR_RATE,
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "subject": "denied",
        "text": "has errors",
        "details": {"errors": 7},
    }
    return Finding(**(given | values))


def an_alert(alert_id: str = "alr_1", **values: Any) -> Alert:
    given: dict[str, Any] = {
        "rule": RuleName.HIGH_ERROR_RATE.value,
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "subject": "denied",
        "summary": 'Key "CI" (key_a) of ten_a has errors',
        "details": {"errors": 7},
        "began_at": NOW,
        "last_seen_at": NOW,
        "fired_at": NOW,
    }
    return Alert(alert_id=alert_id, **(given | values))


def a_row(**values: Any) -> UsageRow:
    """Return usage of `key_a`; fields of a row by their names, everything else as a measure."""
    of_row: dict[str, Any] = {"key_id": "key_a", "owner_id": "ten_a"}
    of_row |= {name: values.pop(name) for name in ("start", "key_id", "owner_id") if name in values}
    return UsageRow(measures=Measures(**values), **of_row)


def some_settings(
    book: RuleBook | None = None,
    *,
    policies: PolicyRules | None = None,
    channels: dict[str, ChannelTerms] | None = None,
    **values: Any,
) -> AlertSettings:
    settings = AlertSettings(
        is_enabled=True,
        every_seconds=60.0,
        retention_seconds=90 * DAY,
        runbooks_url="",
        book=book or a_book(),
        channels={"ops": ChannelTerms()} if channels is None else channels,
        policies=Policies(HIREPANDA, policies or PolicyRules()),
    )
    return replace(settings, **values)
