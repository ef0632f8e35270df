"""From where credentials come that are no key.

Usage counts them without saying from where, because nobody owns them; the request log has them one by one. So this is
asked only when there are many. Of several gateways each has a request log of its own. It must not know how many are too
many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.domain.alert_rules.traffic import UNKNOWN_FAILURES
from gateway.domain.queries import RequestQuery
from gateway.ports import RequestLog

ROWS_MAX: Final = 1_000
"""Requests that are read for each reason, the newest: more than any threshold that makes sense."""

Fold = Callable[[str], str]
"""Returns the network of an address, empty for what is none."""


class KeptRequests(RequestLog, Protocol):
    """A request log, or the lack of one."""

    @property
    def is_kept(self) -> bool: ...


class FailedNetworks:
    """Counts failures by network in the request log; `is_alone` tells whether no other gateway gets requests."""

    def __init__(
        self, log: KeptRequests, fold: Fold, is_alone: Callable[[], bool] = lambda: True
    ) -> None:
        self._log = log
        self._fold = fold
        self._is_alone = is_alone

    def unplaced(self, count: int, placed: Mapping[str, int] | None) -> int:
        """Return how many of `count` failures nobody knows the network of, after `placed` was found."""
        if placed is None:
            return count
        return 0 if self._is_alone() else max(0, count - sum(placed.values()))

    async def since(self, moment: float) -> Mapping[str, int] | None:
        """Return how many requests came with credentials that are no key, by network; None where no log is kept.

        Raises `StoreUnavailable`.
        """
        if not self._log.is_kept:
            return None
        counts: Counter[str] = Counter()
        for reason in UNKNOWN_FAILURES:
            query = RequestQuery(reason=reason.value, since=moment)
            page = await self._log.search(query, limit=ROWS_MAX)
            for row in page.rows:
                network = self._fold(str(row.get("client_address", "")))
                if network:
                    counts[network] += 1
        return counts
