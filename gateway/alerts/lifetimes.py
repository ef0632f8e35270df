"""Looks at the records of keys: which end soon, and which should have been rotated.

Knows that a store may hold a million keys: each round looks at some, and goes on in the next where it ended. It must
not know when a key ends soon.
"""

from __future__ import annotations

from typing import Final

from gateway.alerts.looking import Look, Round
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.lifetimes import expiring, rotation_overdue
from gateway.domain.alerts import Alert, Finding
from gateway.domain.keys import KeyRecord
from gateway.ports import KeyStore

PAGE: Final = 200
"""Keys that are read at once: 2 ms, then others have their turn."""

KEYS_PER_ROUND: Final = 5_000
"""A store of 5,000 keys is looked through every minute, one of a million within four hours."""

_RULES: Final = frozenset({RuleName.EXPIRING, RuleName.ROTATION_OVERDUE})


class LifetimesLook:
    """Reads the keys of `keys`, page by page."""

    def __init__(self, keys: KeyStore, keys_per_round: int = KEYS_PER_ROUND) -> None:
        self._keys = keys
        self._keys_per_round = keys_per_round
        self._after = ""

    async def look(self, this: Round) -> Look:
        """Return what is found among the next keys. Raises `StoreUnavailable`."""
        first, last = self._after, self._after
        found: list[Finding] = []
        records: dict[str, KeyRecord] = {}
        looked_at = 0
        is_end = False
        while looked_at < self._keys_per_round and not is_end:
            page = await self._keys.list_keys(after=last, limit=PAGE)
            is_end = len(page) < PAGE
            looked_at += len(page)
            for record in page:
                for finding in _found(record, this):
                    found.append(finding)
                    records[record.key_id] = record
                last = record.key_id
        self._after = "" if is_end else last

        def judges(alert: Alert) -> bool:
            is_passed = alert.key_id > first and (is_end or alert.key_id <= last)
            return alert.rule in _RULES and is_passed

        return Look(findings=found, judges=judges, records=records)


def _found(record: KeyRecord, this: Round) -> list[Finding]:
    policies = this.settings.policies
    ends = this.rule(RuleName.EXPIRING, record.tenant_id)
    overdue = this.rule(RuleName.ROTATION_OVERDUE, record.tenant_id)
    found: list[Finding] = []
    if ends.is_enabled and record.expires_at is not None:
        found += expiring(record, policies.rules.reminders, ends, this.now)
    if overdue.is_enabled and policies.rules.rotation:
        found += rotation_overdue(record, policies, overdue, this.now)
    return found
