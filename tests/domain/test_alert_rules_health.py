"""What the gateway's own readings tell."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alert_rules.health import Health, unhealthy
from gateway.domain.alerts import Finding
from tests.alert_samples import DAY, NOW, a_book


def found(before: Health | None = None, /, **values: Any) -> list[Finding]:
    return [*unhealthy(Health(**values), before, a_book(), NOW)]


def test_a_healthy_gateway_has_nothing_to_tell() -> None:
    assert (
        found(
            Health(),
            lost={"access log": 0.0},
            upstreams={"jobs": True},
            certificates={("public", "api.example.com"): NOW + 15 * DAY},
        )
        == []
    )


@pytest.mark.parametrize(
    ("values", "rule", "subject", "text"),
    [
        (
            {"store_fault": "no answer in time"},
            RuleName.STORE_UNAVAILABLE,
            "",
            "cannot use its key store: no answer in time",
        ),
        (
            {"is_limiter_up": False},
            RuleName.LIMITER_UNAVAILABLE,
            "",
            "counts limits by itself, or refuses whoever has one: its Redis does not answer",
        ),
        (
            {"snapshot_age_seconds": 301.0},
            RuleName.SNAPSHOT_STALE,
            "",
            "has a snapshot of 5 minutes ago to serve known keys by when its store breaks",
        ),
        (
            {"snapshot_age_seconds": inf},
            RuleName.SNAPSHOT_STALE,
            "",
            "has no snapshot to serve known keys by when its store breaks",
        ),
        (
            {"store_fault": "no answer in time", "snapshot_age_seconds": inf},
            RuleName.STORE_UNAVAILABLE,
            "",
            "cannot use its key store: no answer in time",
        ),
        (
            {"is_audit_intact": False},
            RuleName.AUDIT_TAMPERED,
            "",
            "has an audit trail that was changed: tollhouse audit verify",
        ),
        (
            {"revocations_pending": 1},
            RuleName.REVOCATION_PENDING,
            "",
            "knows of 1 process or snapshot that did not take in a change",
        ),
        (
            {"revocations_pending": 2},
            RuleName.REVOCATION_PENDING,
            "",
            "knows of 2 processes or snapshots that did not take in a change",
        ),
        (
            {"is_reload_good": False},
            RuleName.RELOAD_FAILED,
            "",
            "refused a changed configuration, and goes on with the one before",
        ),
        (
            {"upstreams": {"jobs": False, "mail": True}},
            RuleName.UPSTREAM_DOWN,
            "jobs",
            "knows no target of the upstream jobs that should get requests",
        ),
        (
            {"certificates": {("public", "api.example.com"): NOW + 13 * DAY}},
            RuleName.CERTIFICATE_EXPIRING,
            "public api.example.com",
            "has a certificate of the public listener, for api.example.com, that expires in 13 days",
        ),
        (
            {"certificates": {("admin", ""): NOW}},
            RuleName.CERTIFICATE_EXPIRING,
            "admin",
            "has a certificate of the admin listener, for no host, that has expired",
        ),
    ],
)
def test_what_is_wrong_is_told(
    values: dict[str, Any], rule: RuleName, subject: str, text: str
) -> None:
    [finding] = found(**values)
    assert (finding.rule, finding.subject, finding.text) == (rule, subject, text)
    assert (finding.tenant_id, finding.key_id) == ("", "")
    assert not RULES[rule].is_of_tenant


def test_a_loss_is_what_was_added_since_the_look_before() -> None:
    before = Health(lost={"access log": 5.0, "request log": 1.0})
    lost = {"access log": 6.0, "request log": 1.0, "recorders": 2.0}
    [one, other] = found(before, lost=lost)
    assert (one.subject, one.text) == ("access log", "lost 1 record for the access log")
    assert (other.subject, other.details) == ("recorders", {"lost": 2})


def test_the_first_look_has_nothing_to_compare_with() -> None:
    assert found(None, lost={"access log": 5.0}) == []


def test_what_is_missing_where_somebody_will_look_for_it_is_more_urgent() -> None:
    lost = {"access log": 1.0, "recorders": 2.0, "request log": 3.0, "audit trail": 4.0}
    assert {each.subject: each.rule for each in found(Health(), lost=lost)} == {
        "access log": RuleName.LOG_LOSS,
        "recorders": RuleName.LOG_LOSS,
        "request log": RuleName.AUDIT_LOSS,
        "audit trail": RuleName.AUDIT_LOSS,
    }
