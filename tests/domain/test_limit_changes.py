from __future__ import annotations

import pytest

from gateway.domain.limit_changes import Effect, LimitChange, limit_changes
from gateway.domain.limits import Concurrency, Owner, Plan, Quota, Rate, Rule

MINUTE = Rate(name="minute", limit=60, window_seconds=60, burst=100)


def plan(*rules: Rule, owners: tuple[Owner, ...] = ("lineage",), shadow: bool = False) -> Plan:
    return Plan(name="pro", rules=rules, owners=owners, is_shadow=shadow)


def rate(limit: int, burst: int = 100) -> Rate:
    return Rate(name="minute", limit=limit, window_seconds=60, burst=burst)


def effects(before: Plan, after: Plan) -> list[tuple[str, Effect]]:
    return [(change.policy, change.effect) for change in limit_changes([before], [after])]


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (plan(rate(60)), plan(rate(30)), "shrinks"),
        (plan(rate(60)), plan(rate(90)), "grows"),
        (plan(rate(60, 100)), plan(rate(60, 50)), "shrinks"),
        (plan(rate(60, 100)), plan(rate(30, 200)), "changes"),
        (plan(), plan(rate(60)), "shrinks"),
        (plan(rate(60)), plan(), "grows"),
        (plan(rate(60)), plan(rate(60), owners=("lineage", "tenant")), "shrinks"),
        (plan(rate(60), owners=("lineage", "tenant")), plan(rate(60)), "grows"),
        (plan(rate(60), owners=("tenant",)), plan(rate(60)), "changes"),
        (plan(rate(60)), plan(rate(60), shadow=True), "grows"),
        (plan(rate(60), shadow=True), plan(rate(60)), "shrinks"),
    ],
)
def test_it_is_told_whether_a_limit_lets_through_less_or_more(
    before: Plan, after: Plan, effect: Effect
) -> None:
    assert effects(before, after) == [("pro/minute", effect)]


def test_what_is_equal_is_not_told() -> None:
    assert effects(plan(MINUTE), plan(MINUTE)) == []
    assert effects(plan(MINUTE, shadow=True), plan(shadow=True)) == []


def test_limits_of_every_kind_are_told_in_words() -> None:
    daily = Quota(name="daily", limit=1000, period="day")
    at_once = Concurrency(name="concurrency", limit=5)
    odd = Rate(name="odd", limit=1, window_seconds=7, burst=1)
    changes = list(limit_changes([], [plan(MINUTE, daily, at_once, odd, owners=("tenant",))]))
    assert [(each.policy, each.after) for each in changes] == [
        ("pro/minute", "60 per minute, 100 at once, for each tenant"),
        ("pro/daily", "1000 in a calendar day, for each tenant"),
        ("pro/concurrency", "5 at the same time, for each tenant"),
        ("pro/odd", "1 per 7 seconds, 1 at once, for each tenant"),
    ]
    assert all((each.before, each.effect) == ("", "shrinks") for each in changes)


def test_rules_of_two_kinds_under_one_name_are_another_limit() -> None:
    [change] = limit_changes(
        [plan(Quota(name="minute", limit=60, period="hour"))], [plan(rate(60))]
    )
    assert change == LimitChange(
        policy="pro/minute",
        before="60 in a calendar hour, for each lineage",
        after="60 per minute, 100 at once, for each lineage",
        effect="changes",
    )
