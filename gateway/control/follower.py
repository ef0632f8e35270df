"""Follows the key store's revision, so that a change made elsewhere reaches the keys that are bound here."""

from __future__ import annotations

from gateway.ports import Invalidate, KeyStore


class Follower:
    """Asks the store what changed since the last time. Changes made in this process are already known."""

    def __init__(self, store: KeyStore, invalidate: Invalidate, revision: int) -> None:
        self._store = store
        self._invalidate = invalidate
        self._revision = revision

    async def follow(self) -> None:
        """Forget every bound key that is no longer true; raises `StoreUnavailable`."""
        revision, ids = await self._store.changes_since(self._revision)
        if ids:
            self._invalidate(ids)
        self._revision = revision
