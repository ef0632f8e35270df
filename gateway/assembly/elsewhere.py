"""What was changed in the key store elsewhere (`keys revoke --offline`, another gateway) reaches open streams.

Knows that nobody said what such a change takes away, so what the store holds now is what is left. Changes that were
made here come this way again, and find nothing more to end; or come first, and then whoever made them is told what that
has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from gateway.assembly import policy
from gateway.domain.tenants import Tenant
from gateway.domain.withdrawal import (
    Withdrawals,
    Withdrawn,
    withdrawn_of_key,
    withdrawn_of_tenant,
)

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

_BATCH: Final = 1000
"""Keys that are read together: of a hundred thousand that were imported, the loop is kept from others by none."""

_APART_MAX: Final = 16
"""So many records are looked at one by one, so that whoever changed one of them can be told what that has ended."""

_LATELY_SECONDS: Final = 10.0


class LateCuts:
    """How many requests ended lately because of what the store was found to hold, by record.

    A change that was just committed here may be found before the call that made it gets so far. Bounded: what nobody
    asked for is forgotten after 10 s.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._cuts: dict[str, tuple[float, int]] = {}

    def note(self, cut: Mapping[str, int]) -> None:
        """Take note of requests that ended."""
        now = self._monotonic()
        late = {each: (at, n) for each, (at, n) in self._cuts.items() if now - at < _LATELY_SECONDS}
        for record_id, count in cut.items():
            if count:
                late[record_id] = (now, count + late.get(record_id, (now, 0))[1])
        self._cuts = late

    def take(self, ids: Collection[str]) -> int:
        """Return how many ended lately because of these records, once."""
        self.note({})
        return sum(self._cuts.pop(each, (0.0, 0))[1] for each in ids)


async def take_over(gateway: Gateway, ids: Sequence[str]) -> Mapping[str, int]:
    """Let everybody forget what has the `ids`, then end what it no longer allows. Raises `StoreUnavailable`.

    Returns how many requests ended for which record; nothing when there are too many to tell them apart.
    """
    await gateway.crew.forget(ids)
    cut: dict[str, int] = {}
    rest = iter(ids)
    while batch := list(islice(rest, _BATCH)):
        parts = await _left(gateway, batch)
        if len(ids) > _APART_MAX:
            if parts:
                await gateway.crew.streams.cut(Withdrawals(tuple(parts)))
            continue
        for part in parts:
            record_id = part.key_id or part.tenant_id
            cut[record_id] = await gateway.crew.streams.cut(Withdrawals((part,)))
    return cut


async def _left(gateway: Gateway, ids: Sequence[str]) -> list[Withdrawn]:
    now = gateway.clock.now()
    granted = policy.scopes(gateway.config).granted
    keys = await gateway.store.get_keys(ids)
    parts = [withdrawn_of_key(key, granted(key.scopes), now) for key in keys.values()]
    for each in ids:
        tenant = None if each in keys else await gateway.store.get(Tenant, each)
        if tenant is not None:
            parts.append(withdrawn_of_tenant(tenant))
    return parts
