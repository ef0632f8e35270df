from __future__ import annotations

from gateway.domain.denial import Reason
from gateway.domain.networks import Allowlist
from gateway.domain.shadow import Finding, RuleKind, shadow_rules
from tests.pipeline.samples import rate


def test_without_a_rule_in_shadow_mode_there_is_nothing_to_try() -> None:
    assert shadow_rules() is None
    assert shadow_rules(plans=((), ())) is None


def test_any_rule_makes_something_to_try_and_a_plan_without_claims_is_left_out() -> None:
    allowlist, claims = Allowlist(["192.0.2.0/24"], "key"), (rate(),)
    rules = shadow_rules(("a:read",), (allowlist,), ((), claims))
    assert rules is not None
    assert (rules.scopes, rules.allowlists, rules.plans) == (("a:read",), (allowlist,), (claims,))
    assert shadow_rules(("a:read",)) is not None


def test_a_finding_names_rule_and_reason() -> None:
    finding = Finding(RuleKind.LIMIT, Reason.QUOTA_EXCEEDED, "pro/monthly")
    assert (finding.kind, finding.policy) == ("limit", "pro/monthly")
    assert finding.reason is Reason.QUOTA_EXCEEDED
