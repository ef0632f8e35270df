"""What a configuration says about alerts, as the rules need it.

Knows how the sections of the configuration become values of the domain. It must not know how a channel carries
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config import model
from gateway.domain.alert_routing import ChannelTerms
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alert_rules.settings import RuleBook, RuleSettings
from gateway.domain.alerts import Patience, Severity
from gateway.domain.policies import Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """All of it. `policies` say when a key expires soon or should have been rotated."""

    is_enabled: bool
    every_seconds: float
    retention_seconds: float
    runbooks_url: str
    book: RuleBook
    channels: Mapping[str, ChannelTerms]
    policies: Policies


def alert_settings(config: model.Config, policies: Policies) -> AlertSettings:
    """Return what `config` says."""
    section = config.alerts
    return AlertSettings(
        is_enabled=section.enabled,
        every_seconds=section.every,
        retention_seconds=section.retention,
        runbooks_url=section.runbooks_url,
        book=rule_book(section),
        channels={name: _terms(channel) for name, channel in config.channels.items()},
        policies=policies,
    )


def rule_book(section: model.Alerts) -> RuleBook:
    """Return the rules as `section` sets them."""
    return RuleBook({name: _settings(name, section) for name in RuleName})


def _settings(name: RuleName, section: model.Alerts) -> RuleSettings:
    rule: model.AlertRule = getattr(section.rules, name.value)
    return RuleSettings(
        name=name,
        is_enabled=rule.enabled,
        severity=Severity(rule.severity),
        patience=Patience(
            fire_after_seconds=rule.fire_after, resolve_after_seconds=rule.resolve_after
        ),
        channels=section.channels if rule.channels is None else rule.channels,
        except_tags=rule.except_tags if isinstance(rule, model.KeyAlertRule) else (),
        numbers={number: float(getattr(rule, number)) for number in RULES[name].numbers},
    )


def _terms(channel: model.Channel) -> ChannelTerms:
    return ChannelTerms(
        severity_min=Severity(channel.severity_min),
        tenants=frozenset(channel.tenants),
        with_resolved=channel.resolved,
        every_seconds=channel.every,
        attempts_max=channel.attempts,
    )
