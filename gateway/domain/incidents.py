"""Incidents: what was done about a key that others may know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A compromised key: revoked, replaced, and looked into. Times are epoch seconds (UTC).

    `since` is when the key may have become known to others: requests from then on are suspect. `replacement_key_id` is
    empty when none was asked for.
    """

    incident_id: str
    tenant_id: str
    key_id: str
    lineage_id: str
    replacement_key_id: str = ""
    since: float
    opened_at: float
    opened_by: str
    reason: str
    revision: int = 0
