"""What it tells from where a key is used: a network that it was never used from.

Knows when each network of a key was first and last seen, and that a key has to be learnt first. It must not know how an
address becomes a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Finding
from gateway.domain.usage import OTHER

NEW_SECONDS: Final = 86_400.0
"""How long a network is new: then it belongs to the key, or somebody did something about it."""


class Seen(NamedTuple):
    """When a network was first and last seen with a key (epoch seconds)."""

    first_at: float
    last_at: float


def unexpected_networks(
    tenant_id: str, key_id: str, networks: Mapping[str, Seen], rule: RuleSettings, now: float
) -> Iterator[Finding]:
    """Find networks that are new to a key which was learnt for long enough before: IV-24.

    `networks` are all that are known of the key. A key that was not used for so long that nothing is known any more is
    learnt anew.
    """
    if not networks:
        return
    learnt_at = min(seen.first_at for seen in networks.values()) + rule["learning"]
    for network, seen in networks.items():
        if network not in ("", OTHER) and seen.first_at >= learnt_at and _is_new(seen, now):
            yield Finding(
                rule=rule.name,
                tenant_id=tenant_id,
                key_id=key_id,
                subject=network,
                text=f"is used from {network}, for the first time",
                details={"network": network, "first_at": seen.first_at},
            )


def _is_new(seen: Seen, now: float) -> bool:
    return now - seen.first_at < NEW_SECONDS
