"""The settings of a tenant lie over those of the gateway."""

from __future__ import annotations

from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alerts import Patience, Severity
from tests.alert_samples import a_book

ERRORS = RuleName.HIGH_ERROR_RATE


def test_a_tenant_without_settings_has_those_of_the_gateway() -> None:
    book = a_book()
    assert all(book.under({})[name] == book[name] for name in RuleName)
    assert book[ERRORS]["requests_min"] == 50


def test_what_a_tenant_sets_holds_for_it_and_nothing_else_changes() -> None:
    book = a_book(ApiKeyHighErrorRate={"except_tags": ["batch"]})
    own = book.under(
        {
            "rules": {
                "ApiKeyHighErrorRate": {
                    "enabled": False,
                    "severity": "critical",
                    "requests_min": 5,
                    "fire_after": "5m",
                    "resolve_after": 30,
                },
                "ApiKeyUnusualVolume": {"history_min": "2d", "except_tags": ["ci"]},
            }
        }
    )
    assert (own[ERRORS].is_enabled, own[ERRORS].severity) == (False, Severity.CRITICAL)
    assert own[ERRORS].patience == Patience(fire_after_seconds=300.0, resolve_after_seconds=30.0)
    assert (own[ERRORS]["requests_min"], own[ERRORS]["denied_ratio"]) == (5.0, 0.5)
    assert own[ERRORS].except_tags == ("batch",)
    volume = own[RuleName.UNUSUAL_VOLUME]
    assert (volume["history_min"], volume.except_tags) == (172_800.0, ("ci",))
    assert book[ERRORS].is_enabled
    assert own[ERRORS].channels == book[ERRORS].channels


def test_every_rule_says_what_it_means_in_one_sentence() -> None:
    assert set(RULES) == set(RuleName)
    assert all(info.meaning.endswith(".") for info in RULES.values())
    assert all(info.tells_end or name.startswith("ApiKey") for name, info in RULES.items())
