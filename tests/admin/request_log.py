"""A request log in memory, with the rows that a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.domain.queries import ANY_SHADOW, RequestQuery
from gateway.store_ports import RequestPage


class FakeRequestLog:
    """Implements `ports.RequestLog`; pages hold at most `page_max` rows."""

    def __init__(self, rows: Sequence[Mapping[str, Any]] = (), page_max: int = 2) -> None:
        self.rows = list(rows)
        self.asked: list[RequestQuery] = []
        self._page_max = page_max

    async def search(
        self, query: RequestQuery, *, limit: int = 100, cursor: str = ""
    ) -> RequestPage:
        self.asked.append(query)
        wanted = [row for row in self.rows if _is_wanted(row, query)]
        begin = int(cursor or 0)
        end = begin + min(limit, self._page_max)
        return RequestPage(wanted[begin:end], str(end) if end < len(wanted) else "")

    async def clients(
        self, key_id: str, since: float, tenant_ids: tuple[str, ...] | None = None
    ) -> list[Mapping[str, Any]]:
        return [
            {
                "client_address": row["client_address"],
                "user_agent": "curl",
                "requests": 1,
                "first_at": since,
                "last_at": since + 1,
            }
            for row in self.rows
            if row["key_id"] == key_id and _is_within(row, tenant_ids)
        ]


def _is_wanted(row: Mapping[str, Any], query: RequestQuery) -> bool:
    named = {"key_id": query.key_id, "tenant_id": query.tenant_id, "route": query.route}
    return (
        all(not value or row[name] == value for name, value in named.items())
        and (not query.shadow or query.shadow in (ANY_SHADOW, *row["shadow"]))
        and (query.shadow != ANY_SHADOW or bool(row["shadow"]))
        and _is_within(row, query.tenant_ids)
    )


def _is_within(row: Mapping[str, Any], tenant_ids: tuple[str, ...] | None) -> bool:
    return tenant_ids is None or row["tenant_id"] in tenant_ids


def a_row(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ts": "2026-01-01T00:00:00.000Z",
        "shadow": ["ip_not_allowed"],
        "shadow_rules": ["key_ip"],
        "key_id": "key_a",
        "tenant_id": "ten_a",
        "route": "jobs",
        "client_address": "192.0.2.7",
    }
    return row | changes
