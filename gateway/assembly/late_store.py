"""The store of a gateway that may have to begin without it.

Knows that whoever was given a part of the store before it was open reaches the part once it is; until then it is told
why there is none. It must not know what is done without.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

from gateway.assembly import stores
from gateway.assembly.stores import Opened
from gateway.config import model
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import AuditQuery
from gateway.domain.tenants import Tenant
from gateway.ports import (
    AuditTrail,
    KeptAlerts,
    KeyFinder,
    KeyRows,
    KeyStore,
    StoreUnavailable,
    UsageStore,
)

_NEWEST: Final = AuditQuery(is_newest_first=True)
_PARTS: Final = ("store", "audit", "usage", "alerts", "rows")


class LatePart:
    """Stands for a part of a store: of which every method raises `StoreUnavailable`, with what `why` says, until it is
    there.
    """

    def __init__(self, why: Callable[[], str]) -> None:
        self._why = why
        self._part: Any = None

    def fill(self, part: object) -> None:
        """Be that part from now on."""
        self._part = part

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if self._part is not None:
            found: Callable[..., Awaitable[Any]] = getattr(self._part, name)
            return found

        async def refuse(*_: object, **__: object) -> Any:
            raise StoreUnavailable(self._why())

        return refuse


class LateStore:
    """A store that is opened once it can be; `why` says why it is not open."""

    def __init__(self, config: model.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._stack = AsyncExitStack()
        self.is_open = False
        self.why = ""
        self._late = {name: LatePart(lambda: self.why) for name in _PARTS}
        self.parts = Opened(
            store=cast("KeyStore", self._late["store"]),
            audit=cast("AuditTrail", self._late["audit"]),
            usage=cast("UsageStore", self._late["usage"]),
            alerts=cast("KeptAlerts", self._late["alerts"]),
            rows=cast("KeyRows", self._late["rows"]),
        )

    async def open(self, *, must_exist: bool) -> Opened:
        """Open it; nobody who was given a part reaches it before `fill`. Raises `StoreUnavailable`, `CannotStart`."""
        async with AsyncExitStack() as stack:
            opening = stores.opened(self._config, self._path, must_exist=must_exist)
            try:
                opened = await stack.enter_async_context(opening)
                await _look_over(opened)
            except StoreUnavailable as error:
                self.why = str(error)
                raise
            self._stack = stack.pop_all()
        return opened

    def fill(self, opened: Opened) -> None:
        """Let everybody reach it."""
        for name, part in self._late.items():
            part.fill(getattr(opened, name))
        self.is_open = True

    async def close(self) -> None:
        """Close what was opened."""
        await self._stack.aclose()


async def _look_over(opened: Opened) -> None:
    """Read a little of all that a start reads: a file may be opened whose pages are damaged. Raises
    `StoreUnavailable`.
    """
    store = opened.store
    await store.changes_since(await store.revision())
    await store.list_keys(limit=1)
    await store.list_tenants(limit=1)
    await store.count_keys()
    await opened.audit.audit_records(_NEWEST, limit=1)
    await opened.audit.checkpoints(limit=1)


class LateFinder:
    """Implements `ports.KeyFinder` for a worker, over the store that it opens once it can."""

    def __init__(self, config: model.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._stack = AsyncExitStack()
        self._finder: KeyFinder | None = None
        self._why = ""

    async def open(self) -> None:
        """Open the store, unless it is open. Raises `StoreUnavailable`, `CannotStart`."""
        if self._finder is not None:
            return
        try:
            opening = stores.opened_to_find(self._config, self._path)
            self._finder = await self._stack.enter_async_context(opening)
        except StoreUnavailable as error:
            self._why = str(error)
            raise

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        """Return the key with one of `digests` and its tenant, or None."""
        return await self._opened.find(digests)

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        return await self._opened.get_tenant(tenant_id)

    @property
    def _opened(self) -> KeyFinder:
        if self._finder is None:
            raise StoreUnavailable(self._why)
        return self._finder

    async def close(self) -> None:
        """Close what was opened."""
        await self._stack.aclose()
