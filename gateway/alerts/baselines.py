"""What is usual for a key: its busiest hour of the past days.

Knows that nothing is known of a key which is new, nor of any while the gateway has not counted for long enough. It
remembers answers until the next hour. It must not know what is unusual.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.alert_rules.traffic import Baseline
from gateway.domain.usage import Interval, UsageQuery
from gateway.ports import KeyStore, UsageStore

PAST_SECONDS: Final = 7 * 86_400.0
"""A week: what is done on one day of it is usual on the next."""

KEYS_MAX: Final = 10_000
"""Keys whose answers are remembered."""


class Baselines:
    """Asks `usage` for the busiest hour of each key, once an hour."""

    def __init__(self, usage: UsageStore, keys: KeyStore) -> None:
        self._usage = usage
        self._keys = keys
        self._hour = -1
        self._known: dict[str, Baseline] = {}
        self._counted_since: float | None = None

    async def of(self, key_id: str, now: float) -> Baseline:
        """Return what was usual before the last hour. Raises `StoreUnavailable`."""
        hour = Interval.HOUR.start_of(now)
        if hour != self._hour or len(self._known) >= KEYS_MAX:
            self._hour = hour
            self._known.clear()
            self._counted_since = None
        known = self._known.get(key_id)
        if known is None:
            known = self._known[key_id] = await self._ask(key_id, now)
        return known

    async def _ask(self, key_id: str, now: float) -> Baseline:
        record = await self._keys.get_key(key_id)
        created_at = now if record is None else record.created_at
        rows = await self._usage.cells(self._query(now, key_id=key_id, order_by="requests"))
        since = max(created_at, await self._since(now))
        busiest = rows[0].measures.requests if rows else 0
        return Baseline(busiest_hour=busiest, known_since=since)

    async def _since(self, now: float) -> float:
        """Return since when requests are counted at all, within the past that is looked at; now for not yet."""
        if self._counted_since is None:
            rows = await self._usage.cells(self._query(now))
            self._counted_since = now if not rows else float(rows[0].start or 0)
        return self._counted_since

    def _query(self, now: float, *, key_id: str = "", order_by: str = "") -> UsageQuery:
        until = Interval.HOUR.start_of(now) - Interval.HOUR.seconds
        return UsageQuery(
            since=until - PAST_SECONDS,
            until=until,
            interval=Interval.HOUR,
            group_by=("time",),
            key_id=key_id,
            order_by=order_by,
            limit=1,
        )
