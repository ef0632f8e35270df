"""What another configuration changes about a limit: whether it lets through less, more, or just something else.

Knows how two rules of one name compare. It must not know who is on a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from gateway.domain.limits import Owner, Plan, Quota, Rate, Rule

Effect = Literal["shrinks", "grows", "changes"]

_SPANS: Final[Mapping[int, str]] = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}


class Limit(NamedTuple):
    """A rule, and who has buckets of its own under it."""

    rule: Rule
    owners: frozenset[Owner]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """A limit, as metrics and headers name it (`plan/rule`), before and after in words; empty is no limit."""

    policy: str
    before: str
    after: str
    effect: Effect


def limit_changes(before: Iterable[Plan], after: Iterable[Plan]) -> Iterator[LimitChange]:
    """Yield what differs between plans, limit by limit. A plan in shadow mode limits nothing."""
    old, new = _enforced(before), _enforced(after)
    for policy in {**old, **new}:
        was, becomes = old.get(policy), new.get(policy)
        if was != becomes:
            yield LimitChange(
                policy=policy, before=_told(was), after=_told(becomes), effect=effect(was, becomes)
            )


def effect(before: Limit | None, after: Limit | None) -> Effect:
    """Return whether `after` lets through less than `before`, more, or neither; None lets everything through."""
    if after is None:
        return "grows"
    if before is None:
        return "shrinks"
    old, new = _measures(before.rule), _measures(after.rule)
    pairs = [*zip(old, new, strict=True)] if type(before.rule) is type(after.rule) else []
    if pairs and before.owners <= after.owners and all(was >= now for was, now in pairs):
        return "shrinks"
    if pairs and before.owners >= after.owners and all(was <= now for was, now in pairs):
        return "grows"
    return "changes"


def _told(limit: Limit | None) -> str:
    if limit is None:
        return ""
    return f"{_rule_told(limit.rule)}, for each {' and '.join(sorted(limit.owners))}"


def _rule_told(rule: Rule) -> str:
    if isinstance(rule, Rate):
        span = _SPANS.get(rule.window_seconds, f"{rule.window_seconds} seconds")
        return f"{rule.limit} per {span}, {rule.burst} at once"
    if isinstance(rule, Quota):
        return f"{rule.limit} in a calendar {rule.period}"
    return f"{rule.limit} at the same time"


def _measures(rule: Rule) -> tuple[float, ...]:
    """Return the numbers of which each lets through more when it is greater."""
    if isinstance(rule, Rate):
        return (rule.limit / rule.window_seconds, float(rule.burst))
    return (float(rule.limit),)


def _enforced(plans: Iterable[Plan]) -> Mapping[str, Limit]:
    return {
        f"{plan.name}/{rule.name}": Limit(rule, frozenset(plan.owners))
        for plan in plans
        if not plan.is_shadow
        for rule in plan.rules
    }
