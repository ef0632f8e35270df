"""A trail with its keeper, in memory and a folder, whose stored rows a test may change behind everybody's back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.audit.chain import Report
from gateway.audit.files import AuditFiles
from gateway.audit.keeper import Keeper, Pace, verify
from gateway.audit.room import AuditRoom
from gateway.domain.audit import AuditRecord, Checkpoint
from gateway.domain.change import Actor, Order
from gateway.stores.memory_audit import MemoryAudit
from tests.clock import FakeClock
from tests.contracts.audit_trail import a_change

ORDER = Order(actor=Actor(kind="admin", name="ann"), reason="an audit")


class OpenAudit(MemoryAudit):
    """A trail whose rows lie open."""

    @property
    def rows(self) -> list[AuditRecord]:
        return self._chain

    @property
    def signatures(self) -> dict[int, Checkpoint]:
        return self._checkpoints


class Trail:
    """All parts; `run` begins anew, as a restarted process does."""

    def __init__(self, folder: Path, pace: Pace | None = None) -> None:
        self.clock = FakeClock()
        self.audit = OpenAudit()
        self.files = AuditFiles(folder / "audit.key")
        self.pace = pace or Pace()
        self.counted: list[str] = []
        self.run()

    def run(self) -> None:
        self.keeper = Keeper(
            self.audit,
            self.files,
            self.files.signer(),
            self.clock,
            pace=lambda: self.pace,
            count=self.counted.append,
        )
        self.room = AuditRoom(self.keeper, self.clock)

    async def append(self, number: int = 1, **values: Any) -> None:
        await self.audit.append([a_change(n, **values) for n in range(number)])

    async def check(self) -> Report:
        """Check what is stored, as somebody without the private key does."""
        return await verify(self.audit, self.files)

    async def fault(self) -> tuple[str, int] | None:
        found = (await self.check()).fault
        return None if found is None else (found.kind, found.seq)

    def change(self, seq: int, **fields: Any) -> None:
        """Change a stored row."""
        self.audit.rows[seq - 1] = replace(self.audit.rows[seq - 1], **fields)


async def signed(folder: Path, records: int = 12, every: int = 4) -> Trail:
    """Return a trail of so many records, with a checkpoint `every` few of them, whose head is signed."""
    trail = Trail(folder, Pace(records=every))
    for number in range(1, records + 1):
        await trail.append()
        if number % every == 0:
            await trail.keeper.keep()
    await trail.keeper.keep()
    return trail
