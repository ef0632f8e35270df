"""What a look at something takes and gives.

Knows the circumstances that all looks of one round share. It must not know what is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.alerts.settings import AlertSettings
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.settings import RuleBook, RuleSettings
from gateway.domain.alerts import Alert, Finding
from gateway.domain.business_hours import BusinessHours
from gateway.domain.keys import KeyRecord
from gateway.ports import KeyStore

_KEYS_READ_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Own:
    """What a tenant has of its own: the rules as it sets them, and its business hours, if any."""

    book: RuleBook
    hours: BusinessHours | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round: when it is (epoch seconds), by what it goes, and what is open already.

    `own` holds the tenants that have anything of their own, `open_keys` the keys of open alerts.
    """

    now: float
    settings: AlertSettings
    own: Mapping[str, Own]
    open_keys: Mapping[RuleName, frozenset[str]] = field(default_factory=dict)

    def rule(self, name: RuleName, tenant_id: str) -> RuleSettings:
        """Return how a rule is set for a tenant."""
        own = self.own.get(tenant_id)
        return (self.settings.book if own is None else own.book)[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look found. Of the open alerts that it `judges`, those that it did not find are not so any more; those
    that are `is_over` end at once, however patient their rule is.

    `records` are keys that it has read, by id. It is told once what it found is `taken`, so that it goes on from there.
    """

    findings: list[Finding]
    judges: Callable[[Alert], bool]
    is_over: Callable[[Alert], bool] = lambda _: False
    records: Mapping[str, KeyRecord] = field(default_factory=dict)
    taken: Callable[[], None] = lambda: None


async def read_keys(keys: KeyStore, key_ids: Iterable[str]) -> dict[str, KeyRecord]:
    """Return these keys, as far as they exist, read in parts. Raises `StoreUnavailable`."""
    wanted = [*dict.fromkeys(key_ids)]
    found: dict[str, KeyRecord] = {}
    for start in range(0, len(wanted), _KEYS_READ_MAX):
        found |= await keys.get_keys(wanted[start : start + _KEYS_READ_MAX])
    return found
