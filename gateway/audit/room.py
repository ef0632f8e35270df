"""The door to the audit trail for operators: read it, check it, take it away, let go of what is old.

Knows that whoever takes the trail away or shortens it is told of in the trail itself. It must not know who may ask.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from gateway.audit.chain import PRUNED_THROUGH, Report
from gateway.audit.export import Exporter
from gateway.audit.keeper import Keeper, checkpoints, entries, first_base
from gateway.domain.audit import AuditRecord, Checkpoint
from gateway.domain.change import Change, ChangeType, Order
from gateway.domain.queries import AuditQuery
from gateway.ports import Clock, Conflict

CHUNK_LINES: Final = 200
"""Lines of an export that are handed on together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What pruning removed: so many `records`, the last of them `through_seq`; 0 and 0 for nothing."""

    records: int
    through_seq: int


class AuditRoom:
    """What operators do with the trail that `keeper` looks after."""

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper = keeper
        self._trail = keeper.trail
        self._clock = clock

    @property
    def fingerprints(self) -> list[str]:
        """The public keys under which the chain is signed, the present one first."""
        return self._keeper.files.verifier().fingerprints

    async def page(
        self, query: AuditQuery, *, after: int = 0, limit: int = 100
    ) -> list[AuditRecord]:
        """Return records; see `AuditTrail.audit_records`."""
        return await self._trail.audit_records(query, after=after, limit=limit)

    async def append(self, change: Change) -> None:
        """Seal and store the record of something that changes nothing in the store."""
        await self._trail.append([change])

    async def verify(self) -> Report:
        """Check the whole chain. Raises `StoreUnavailable`, `Unusable`."""
        return await self._keeper.verify()

    # ---- taking it away

    async def export(self, order: Order, since: float | None = None) -> AsyncIterator[bytes]:
        """Return the lines of an export, in chunks: the whole chain, or what follows the last checkpoint by `since`.

        The export is told of in the trail, and tells of itself. Raises `Conflict` for a chain that was changed.
        """
        async with self._keeper.turn:
            base = await self._base(since)
            await self._trail.append(
                [
                    self._told(
                        ChangeType.AUDIT_EXPORTED,
                        order,
                        {"from_seq": 1 if base is None else base.seq + 1},
                    )
                ]
            )
            head = await self._keeper.advance(is_due=True)
        if head is None:
            raise self._changed("it can be exported from a copy of the store only")
        return self._lines(base, head)

    async def _lines(self, base: Checkpoint | None, head: Checkpoint) -> AsyncIterator[bytes]:
        exporter = Exporter(self._keeper.signer)
        lines = [exporter.header(self._keeper.files.verifier(), base, self._clock.now())]
        async for entry in entries(self._trail, 0 if base is None else base.seq, head.seq):
            lines.append(exporter.entry(entry))
            if len(lines) >= CHUNK_LINES:
                yield b"".join(lines)
                lines.clear()
        lines.append(exporter.trailer(head))
        yield b"".join(lines)

    async def _base(self, since: float | None) -> Checkpoint | None:
        base = await first_base(self._trail)
        if since is None:
            return base
        return await self._last_before(since) or base

    async def _last_before(self, moment: float) -> Checkpoint | None:
        latest = None
        async for each in checkpoints(self._trail):
            if each.at > moment:
                break
            latest = each
        return latest

    # ---- letting go

    async def prune(self, before: float, order: Order) -> Pruned:
        """Remove the records that are all older than `before`, up to a checkpoint; the chain goes on from there.

        Raises `Conflict` for a chain that was changed: nothing of it may be lost then.
        """
        async with self._keeper.turn:
            if await self._keeper.advance() is None:
                raise self._changed("it is not pruned")
            first = next(iter(await self._trail.audit_records(limit=1)), None)
            base = await self._last_before(before)
            if first is None or base is None or base.seq < first.seq:
                return Pruned(records=0, through_seq=0)
            found = Pruned(records=base.seq - first.seq + 1, through_seq=base.seq)
            if not order.is_dry_run:
                told = {"from_seq": first.seq, PRUNED_THROUGH: base.seq}
                # Told first: a chain that is shorter than it tells would look like one that was cut.
                await self._trail.append([self._told(ChangeType.AUDIT_PRUNED, order, told)])
                await self._keeper.advance(is_due=True)  # which counts the checkpoints that leave
                await self._trail.prune_audit(base.seq + 1)
            return found

    def _told(self, event: ChangeType, order: Order, after: dict[str, int]) -> Change:
        return Change(
            type=event,
            actor=order.actor,
            tenant_id="",
            reason=order.reason,
            after=after,
            at=self._clock.now(),
        )

    def _changed(self, consequence: str) -> Conflict:
        fault = self._keeper.fault
        return Conflict(
            f"the audit trail was changed ({'' if fault is None else fault.text}): {consequence}"
        )
