"""The configuration, as the rules of alerts need it."""

from __future__ import annotations

from gateway.alerts.settings import alert_settings, rule_book
from gateway.config import model
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alerts import Severity
from gateway.domain.policies import Policies
from tests.key_samples import HIREPANDA

POLICIES = Policies(HIREPANDA)


def config(**values: object) -> model.Config:
    return model.Config.model_validate(
        {"version": 1, "peppers": {"current": "p1", "p1": "x" * 32}, **values}
    )


def test_the_configuration_has_a_section_for_every_rule_with_its_numbers() -> None:
    fields = model.AlertRules.model_fields
    assert [*fields] == [name.value for name in RuleName]
    rules = model.AlertRules()
    for name, info in RULES.items():
        section = getattr(rules, name.value)
        common = {*model.KeyAlertRule.model_fields}
        assert {*type(section).model_fields} - common == set(info.numbers)
        assert isinstance(section, model.KeyAlertRule) == info.is_of_tenant


def test_defaults_lie_within_the_bounds_for_tenants() -> None:
    book = rule_book(model.Alerts())
    for name, info in RULES.items():
        for number, bounds in info.numbers.items():
            assert bounds.least <= book[name][number] <= bounds.most, (name, number)


def test_a_rule_without_channels_of_its_own_tells_the_channels_of_all() -> None:
    section = model.Alerts.model_validate(
        {
            "channels": ["ops"],
            "rules": {
                "UpstreamDown": {"channels": ["pager"]},
                "ApiKeyClientSideUse": {"channels": []},
            },
        }
    )
    book = rule_book(section)
    assert book[RuleName.HIGH_ERROR_RATE].channels == ("ops",)
    assert book[RuleName.UPSTREAM_DOWN].channels == ("pager",)
    assert book[RuleName.CLIENT_SIDE].channels == ()


def test_what_wakes_somebody_up_stays_so_when_something_else_of_it_is_set() -> None:
    section = model.Alerts.model_validate({"rules": {"UpstreamDown": {"channels": ["pager"]}}})
    settings = rule_book(section)[RuleName.UPSTREAM_DOWN]
    assert (settings.severity, settings.patience.resolve_after_seconds) == (Severity.CRITICAL, 60.0)


def test_settings_follow_the_configuration() -> None:
    settings = alert_settings(
        config(
            alerts={
                "enabled": False,
                "every": "30s",
                "retention": "10d",
                "runbooks_url": "https://w",
            },
            channels={
                "log": {"log": True, "severity_min": "critical", "tenants": ["ten_a"]},
                "quiet": {"log": True, "resolved": False, "every": "5m", "attempts": 3},
            },
        ),
        POLICIES,
    )
    assert (settings.is_enabled, settings.every_seconds) == (False, 30.0)
    assert (settings.retention_seconds, settings.runbooks_url) == (864_000.0, "https://w")
    log, quiet = settings.channels["log"], settings.channels["quiet"]
    assert (log.severity_min, [*log.tenants]) == (Severity.CRITICAL, ["ten_a"])
    assert (quiet.with_resolved, quiet.every_seconds, quiet.attempts_max) == (False, 300.0, 3)
