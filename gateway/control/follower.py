"""Follows the key store's revision, so that a change made elsewhere reaches the keys that are bound here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.ports import Invalidate, KeyStore


class Follower:
    """Asks the store what changed since the last time. Changes made in this process are already known."""

    def __init__(
        self,
        store: KeyStore,
        invalidate: Invalidate,
        invalidate_all: Callable[[], Awaitable[object]],
        revision: int,
    ) -> None:
        self._store = store
        self._invalidate = invalidate
        self._invalidate_all = invalidate_all
        self._revision = revision
        self._is_distrusted = False

    @property
    def revision(self) -> int:
        """Up to which revision everything was taken over."""
        return self._revision

    def distrust(self) -> None:
        """Forget everything the next time: what the store said before may not be true of it any more."""
        self._is_distrusted = True

    async def follow(self) -> int:
        """Forget every bound key that is no longer true; return up to which revision. Raises `StoreUnavailable`."""
        revision, ids = await self._store.changes_since(self._revision)
        if revision < self._revision or self._is_distrusted:
            # Another database: nothing that is remembered is known to be true.
            await self._invalidate_all()
            self._is_distrusted = False
        if ids:
            await self._invalidate(ids)
        self._revision = revision
        return revision
