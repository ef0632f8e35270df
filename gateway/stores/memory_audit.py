"""The audit trail in memory: for tests, and beside keys that all come from the config.

Knows the meaning of every method of `AuditTrail` in its plainest form; the other trails must not differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.audit import AuditRecord, Checkpoint, Head, seal
from gateway.domain.change import Change
from gateway.domain.queries import ANY_AUDIT, AuditQuery
from gateway.ports import Conflict


class MemoryAudit:
    """Implements `ports.AuditTrail`."""

    def __init__(self) -> None:
        self._chain: list[AuditRecord] = []
        self._checkpoints: dict[int, Checkpoint] = {}

    async def append(self, changes: Sequence[Change]) -> None:
        """Seal and store records."""
        for change in changes:
            self._chain.append(seal(await self.audit_head(), change))

    async def audit_head(self) -> Head:
        """Return the end of the chain; of one that was pruned as a whole, its last checkpoint."""
        if self._chain:
            return Head(self._chain[-1].seq, self._chain[-1].hash)
        latest = self._checkpoints.get(max(self._checkpoints, default=0))
        return Head() if latest is None else Head(latest.seq, latest.hash)

    async def audit_records(
        self, query: AuditQuery = ANY_AUDIT, *, after: int = 0, limit: int = 100
    ) -> list[AuditRecord]:
        """Return records, the oldest or the newest first."""
        found = [record for record in self._chain if _is_told(record, query)]
        if query.is_newest_first:
            return [each for each in reversed(found) if not after or each.seq < after][:limit]
        return [each for each in found if each.seq > after][:limit]

    async def checkpoints(self, *, after: int = 0, limit: int = 1000) -> list[Checkpoint]:
        """Return the signed checkpoints."""
        return [self._checkpoints[seq] for seq in sorted(self._checkpoints) if seq > after][:limit]

    async def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint; one for the same record replaces it."""
        self._checkpoints[checkpoint.seq] = checkpoint

    async def prune_audit(self, before_seq: int) -> int:
        """Remove the records below `before_seq`; return how many."""
        if before_seq - 1 not in self._checkpoints:
            raise Conflict(f"record {before_seq - 1} has no checkpoint that the rest hangs on")
        kept = [record for record in self._chain if record.seq >= before_seq]
        removed, self._chain = len(self._chain) - len(kept), kept
        self._checkpoints = {
            seq: each for seq, each in self._checkpoints.items() if seq >= before_seq - 1
        }
        return removed


def _is_told(record: AuditRecord, query: AuditQuery) -> bool:
    fields = ("key_id", "tenant_id", "actor")
    is_type = (
        record.type.startswith(query.type[:-1])
        if query.type.endswith("*")
        else query.type in ("", record.type)
    )
    return (
        is_type
        and all(getattr(query, name) in ("", getattr(record, name)) for name in fields)
        and (query.since is None or record.at >= query.since)
        and (query.until is None or record.at < query.until)
        and (query.tenant_ids is None or record.tenant_id in query.tenant_ids)
    )
