"""What the record of a key tells: that it ends soon, or should have been rotated.

Knows lead times: of several that have begun the shortest counts, so that a gateway which was down for a week sends one
reminder and not all of them. It must not know what was sent: an alert that is open already is not told again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.domain.alert_rules.durations import in_words
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Finding
from gateway.domain.dialects.fill import timestamp
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.policies import Policies


def expiring(
    record: KeyRecord, leads: Sequence[float], rule: RuleSettings, now: float
) -> Iterator[Finding]:
    """Find a key that ends within one of the lead times: IV-16, X-16.

    The end and the lead time are part of what is found, so that each is told once, and again after an extension. A key
    that was made to live shorter than a lead time is not reminded of it.
    """
    ends = record.expires_at
    if ends is None or record.state_at(now) in (KeyState.REVOKED, KeyState.EXPIRED):
        return
    begun = [lead for lead in leads if record.created_at < ends - lead <= now]
    if not begun:
        return
    lead, moment = min(begun), timestamp(ends)
    yield Finding(
        rule=rule.name,
        tenant_id=record.tenant_id,
        key_id=record.key_id,
        subject=f"{lead:.0f}s before {moment}",
        text=f"expires in {in_words(ends - now)}, at {moment}",
        details={"expires_at": moment, "lead_seconds": lead},
    )


def rotation_overdue(
    record: KeyRecord, policies: Policies, rule: RuleSettings, now: float
) -> Iterator[Finding]:
    """Find a key that is older than its policy wants: HP-10, IV-18."""
    due = policies.rotation_due(record, now)
    if due is None or now < due:
        return
    yield Finding(
        rule=rule.name,
        tenant_id=record.tenant_id,
        key_id=record.key_id,
        text=f"should have been rotated by {timestamp(due)}",
        details={"due_at": timestamp(due)},
    )
