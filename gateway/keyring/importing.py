"""Keys that are known by their digest only: from another system, or from the config.

Knows that importing is safe to repeat and never brings a key back. It must not know where the records come from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from hmac import compare_digest
from typing import Final

from gateway.domain.blueprint import environment_problems
from gateway.domain.change import KEY_FIELD_EVENTS, ChangeType, Order
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormats
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.keys import KeyRecord, KeyState
from gateway.keyring.ledger import Changed
from gateway.keyring.workshop import Workshop
from gateway.ports import Conflict

_IDENTITY: Final = ("tenant_id", "format", "environment", "kind")


class Imports:
    """Stores keys by their digests. What it promises and raises is what `Keyring` does."""

    def __init__(self, workshop: Workshop, formats: KeyFormats, peppers: Peppers) -> None:
        self._store = workshop.store
        self._ledger = workshop.ledger
        self._rules = workshop.rules
        self._clock = workshop.clock
        self._formats = formats
        self._peppers = peppers

    async def one(self, record: KeyRecord, order: Order) -> Changed[KeyRecord]:
        """Store a key, or bring the stored one up to date.

        Safe to repeat, also after the key was re-keyed. The stored state stands, and so does the end of a key that has
        expired. What makes it this key (tenant, format, environment, kind, secret) cannot change: another secret needs
        another id.
        """
        problems = [*self._problems(record), *await self._tenant_problems(record.tenant_id)]
        if problems:
            raise Refused(problems)
        if await self._store.get_key(record.key_id) is None:
            fresh = replace(record, created_at=record.created_at or self._clock.now())
            try:
                return await self._ledger.insert(fresh, ChangeType.KEY_CREATED, order)
            except Conflict:
                if await self._store.get_key(record.key_id) is None:
                    raise
                # Another gateway, which declares the same keys, was faster.

        def edit(before: KeyRecord) -> KeyRecord:
            return self._brought_up(before, record)

        return await self._ledger.edit(KeyRecord, record.key_id, edit, order, KEY_FIELD_EVENTS)

    async def all(self, records: Collection[KeyRecord], order: Order) -> None:
        """Import every key. Those that are stored just so, which is most of them at any start but the first, cost one
        question to the store together.
        """
        stored = await self._store.get_keys([record.key_id for record in records])
        for record in records:
            before = stored.get(record.key_id)
            if (
                before is None
                or any(self._problems(record))
                or self._brought_up(before, record) != before
            ):
                await self.one(record, order)

    async def _tenant_problems(self, tenant_id: str) -> list[Problem]:
        if await self._ledger.tenant_in_use(tenant_id) is None:
            return [("/tenant_id", f"there is no tenant '{tenant_id}'")]
        return []

    def _problems(self, record: KeyRecord) -> Iterable[Problem]:
        names = [name for name in (*KEY_FIELD_EVENTS, "kind") if name != "expires_at"]
        values = {name: getattr(record, name) for name in names}
        yield from self._rules.problems(values, self._clock.now())
        key_format = self._formats.get(record.format)
        if key_format is None:
            yield "/format", f"unknown format '{record.format}'"
        else:
            yield from environment_problems(key_format, record.environment)
        if record.pepper_id not in self._peppers.ids:
            yield "/pepper_id", f"unknown pepper '{record.pepper_id}'"
        if len(record.digest) != 32:
            yield "/digest", "must be the 32 bytes of an HMAC-SHA256"

    def _brought_up(self, before: KeyRecord, record: KeyRecord) -> KeyRecord:
        """Return the stored key with what `record` says of it; a revoked one stays as it is."""
        _require_same_key(before, record)
        if before.state is KeyState.REVOKED:
            return before
        values = {name: getattr(record, name) for name in KEY_FIELD_EVENTS}
        if before.state_at(self._clock.now()) is KeyState.EXPIRED:
            del values["expires_at"]
        return replace(before, **values)


def _require_same_key(stored: KeyRecord, record: KeyRecord) -> None:
    differing = [name for name in _IDENTITY if getattr(stored, name) != getattr(record, name)]
    # Under another pepper the same secret has another digest: then nobody can compare them.
    if stored.pepper_id == record.pepper_id and not compare_digest(stored.digest, record.digest):
        differing.append("digest")
    if differing:
        names = ", ".join(differing)
        raise Conflict(f"key '{stored.key_id}' exists with another {names}: use another id")
