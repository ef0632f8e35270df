"""The request log: every request, also the refused ones, kept in files to be searched.

Knows that searching and removing go on in threads, few at a time. How files are named stands in
`request_log_segments`, how they are searched in `request_log_search`; `access_log` renders the lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.domain.queries import RequestQuery
from gateway.ports import Clock, StoreUnavailable
from gateway.store_ports import RequestPage
from gateway.telemetry import request_log_search
from gateway.telemetry.request_log_segments import remove_old

SEARCHES_MAX: Final = 2
"""At once; further ones wait: each takes up to a core."""


class FileRequestLog:
    """Implements `ports.RequestLog` over the segments in `folder`; without a folder nothing is kept, and found."""

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._turns = asyncio.Semaphore(SEARCHES_MAX)
        self.bytes = 0

    @property
    def is_kept(self) -> bool:
        """Tell whether requests are kept here at all."""
        return self._folder is not None

    async def search(
        self, query: RequestQuery, *, limit: int = 100, cursor: str = ""
    ) -> RequestPage:
        """Return requests, those that ended last first. A search that takes long answers with what it has found, which
        may be nothing, and a cursor.
        """
        if self._folder is None:
            return RequestPage([], "")
        try:
            async with self._turns:
                rows, rest = await asyncio.to_thread(
                    request_log_search.search, self._folder, query, limit, cursor
                )
        except OSError as error:
            raise StoreUnavailable(f"the request log cannot be read: {error}") from error
        return RequestPage(rows, rest)

    async def clients(
        self, key_id: str, since: float, tenant_ids: tuple[str, ...] | None = None
    ) -> list[Mapping[str, Any]]:
        """Return who used a key since then."""
        if self._folder is None:
            return []
        query = RequestQuery(key_id=key_id, since=since, tenant_ids=tenant_ids)
        try:
            async with self._turns:
                return [*await asyncio.to_thread(request_log_search.clients, self._folder, query)]
        except OSError as error:
            raise StoreUnavailable(f"the request log cannot be read: {error}") from error

    async def remove_old(self, retention_seconds: float, bytes_max: int) -> None:
        """Remove what is too old or too much. Raises `OSError`."""
        if self._folder is None or not self._folder.is_dir():
            return
        self.bytes = await asyncio.to_thread(
            remove_old,
            self._folder,
            self._clock.now(),
            retention_seconds=retention_seconds,
            bytes_max=bytes_max,
        )
