"""Keeps the chain under signatures: checkpoints in the store, and its head outside of it.

Knows that nothing is signed which was not checked, and that a chain which lost what was signed is never signed again:
a new signature would wipe out the trace. It must not know what records are about.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from gateway.audit.chain import Chain, Fault, Report
from gateway.audit.files import AuditFiles, Unusable
from gateway.audit.signer import Signer
from gateway.domain.audit import AuditRecord, Checkpoint, Head
from gateway.domain.change import Actor, Change, ChangeType
from gateway.ports import AuditReading, AuditTrail, Clock

PAGE: Final = 100
"""Records looked at in one turn of the event loop: about a millisecond."""

SYSTEM: Final = Actor(kind="system", name="audit")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a checkpoint is due: `seconds` after the first record that it will cover, or after so many `records`."""

    seconds: float = 60.0
    records: int = 1000


class Keeper:
    """Looks after one trail; `count` is told the type of each new record. One at a time holds `turn`.

    Of several keepers of one trail each checks it and signs a head of its own; checkpoints are due for the one that
    `signs`. `is_vouched` tells whether others have kept it while this one did not.
    """

    def __init__(
        self,
        trail: AuditTrail,
        files: AuditFiles,
        signer: Signer,
        clock: Clock,
        *,
        pace: Callable[[], Pace] = Pace,
        count: Callable[[str], None] = lambda _: None,
        signs: Callable[[], bool] = lambda: True,
        is_vouched: Callable[[], bool] = lambda: False,
    ) -> None:
        self.trail = trail
        self.files = files
        self.signer = signer
        self.turn = asyncio.Lock()
        self._clock = clock
        self._pace = pace
        self._count = count
        self._signs = signs
        self._is_vouched = is_vouched
        self._chain: Chain | None = None
        self._is_head_written = False
        self._waiting_since: float | None = None
        self._checkpoint_seq = 0
        self._checkpoint_number = 0
        self.fault: Fault | None = None

    @property
    def head(self) -> Head:
        """The end of the chain as far as it was checked."""
        return Head() if self._chain is None else self._chain.last

    # ---- again and again

    async def keep(self) -> None:
        """Check and sign what is new. Raises `StoreUnavailable`, `OSError`."""
        async with self.turn:
            await self.advance()

    async def close(self) -> None:
        """Sign everything, once more at the end."""
        async with self.turn:
            await self.advance(is_due=self._signs())

    async def advance(self, *, is_due: bool = False) -> Checkpoint | None:
        """Check and sign what is new, with a checkpoint if one `is_due`; return the head that was signed, None for a
        chain that is not intact. Whoever calls holds `turn`.
        """
        if self.fault is None:
            chain = self._chain or await self._begin()
            if self.fault is None:
                await self._check(chain)
            if self.fault is None:
                return await self._sign(chain, is_due=is_due)
        return None

    async def _check(self, chain: Chain) -> None:
        end = await self.trail.audit_head()
        if end == chain.last and self._chain is not None:
            return
        self._chain = chain
        if end.seq < chain.last.seq:
            missing = chain.last.seq
            chain.fail("truncated", end.seq + 1, f"records {end.seq + 1} to {missing} are missing")
        elif end.seq == chain.last.seq and end != chain.last:
            chain.fail("rewritten", end.seq, f"record {end.seq} is not the one that was signed")
        async for record in records(self.trail, chain.last.seq):
            chain.record(record)
            if chain.fault is not None:
                break
            self._count(record.type)
            self._is_head_written = False
            if self._waiting_since is None:
                self._waiting_since = self._clock.monotonic()
        if chain.fault is not None:
            self._break(chain.fault)

    async def _sign(self, chain: Chain, *, is_due: bool) -> Checkpoint:
        last = chain.last
        is_due = last.seq > self._checkpoint_seq and (is_due or self._is_due(last.seq))
        if is_due:
            await self._count_checkpoints()
        signed = self.signer.sign(last, self._clock.now(), self._checkpoint_number + is_due)
        if is_due:
            await self.trail.add_checkpoint(signed)
            self._checkpoint_seq, self._checkpoint_number = last.seq, signed.number
            self._waiting_since = None
            self._is_head_written = False
        if not self._is_head_written:
            await asyncio.to_thread(self.files.write_head, signed)
            self._is_head_written = True
            chain.vouch()
        return signed

    def _is_due(self, seq: int) -> bool:
        pace = self._pace()
        has_waited = (
            self._waiting_since is not None
            and self._clock.monotonic() - self._waiting_since >= pace.seconds
        )
        return self._signs() and (has_waited or seq - self._checkpoint_seq >= pace.records)

    # ---- the beginning

    async def _begin(self) -> Chain:
        """Go on where the last signature is: what it covers must be there."""
        verifier = self.files.verifier()
        chain = Chain(verifier)
        self._checkpoint_seq = self._checkpoint_number = 0
        latest = await self._count_checkpoints()
        try:
            head = await asyncio.to_thread(self.files.head)
        except Unusable as error:
            chain.fail("forged", 0, str(error))
            head = None
        else:
            if head is None and latest is not None and not self._is_vouched():
                await self._restart(latest)
        if latest is not None and not verifier.signed(latest):
            chain.fail("forged", latest.seq, "the signature of the last checkpoint is wrong")
        base = head if head is not None else latest
        if base is not None and base.seq > 0 and chain.fault is None:
            pruned = await first_base(self.trail)
            if pruned is not None and pruned.seq > base.seq and verifier.signed(pruned):
                base = pruned  # another keeper has let go of more, which the chain tells
            elif not await self._is_there(base):
                chain.fail("truncated", base.seq, f"record {base.seq} is not what was signed")
            chain.begin(base, is_pruned=False)
        elif base is not None and not verifier.signed(base):
            chain.fail("forged", 0, "the signature of the head file is wrong")
        self._require_counted(chain, head)
        if chain.fault is not None:
            self._chain = chain
            self._break(chain.fault)
        return chain

    def _require_counted(self, chain: Chain, head: Checkpoint | None) -> None:
        """See that no checkpoint is missing at the end: the next one would take its number."""
        if head is not None and head.number > self._checkpoint_number:
            missing = f"of {head.number} checkpoints, only {self._checkpoint_number} are there"
            chain.fail("unsigned", self._checkpoint_seq + 1, missing)

    async def _count_checkpoints(self) -> Checkpoint | None:
        """Take note of checkpoints that are new, as whoever signs for others may have set some; return the latest."""
        latest = None
        async for each in checkpoints(self.trail, self._checkpoint_seq):
            latest = each
            self._checkpoint_number = each.number or self._checkpoint_number + 1
            self._checkpoint_seq = each.seq
        return latest

    async def _is_there(self, base: Checkpoint) -> bool:
        """Tell whether the chain still has what `base` signs: the record, or the checkpoint that stands for it."""
        for record in await self.trail.audit_records(after=base.seq - 1, limit=1):
            if record.seq == base.seq:
                return record.hash == base.hash
        return any(
            each.seq == base.seq and each.hash == base.hash
            for each in await self.trail.checkpoints(after=base.seq - 1, limit=1)
        )

    async def _restart(self, latest: Checkpoint) -> None:
        """Leave a trace: nothing vouches any more for what may have been removed at the end."""
        _log.warning(
            "the head file of the audit trail (%s) is missing: whether records after %d were removed cannot be told",
            self.files.head_path,
            latest.seq,
        )
        change = Change(
            type=ChangeType.AUDIT_RESTARTED,
            actor=SYSTEM,
            tenant_id="",
            reason="the head file is missing",
            after={
                "checkpoint_seq": latest.seq,
                "public_key": self.signer.verifier.fingerprints[0],
            },
            at=self._clock.now(),
        )
        await self.trail.append([change])

    def _break(self, fault: Fault) -> None:
        self.fault = fault
        _log.error(
            "the audit trail was changed, and is not signed any more: %s. See `tollhouse audit verify`.",
            fault.text,
        )

    # ---- the check of everything

    async def verify(self) -> Report:
        """Check the whole chain against its signatures. Raises `StoreUnavailable`, `Unusable`."""
        async with self.turn:
            await self.advance()
            return await verify(self.trail, self.files)


async def verify(trail: AuditReading, files: AuditFiles) -> Report:
    """Check a whole chain against the public keys and the head file. Raises `StoreUnavailable`, `Unusable`."""
    try:
        head = await asyncio.to_thread(files.head)
        trouble = ""
    except Unusable as error:
        head, trouble = None, str(error)
    chain = Chain(files.verifier(), head)
    if trouble:
        chain.fail("forged", 0, trouble)
    await _walk(trail, chain)
    if head is None and chain.checkpoints:
        chain.fail(
            "truncated",
            chain.last.seq + 1,
            f"the head file {files.head_path} is missing: whether records are missing at the end cannot be told",
        )
    return chain.end()


async def _walk(trail: AuditReading, chain: Chain) -> None:
    base = await first_base(trail)
    if base is not None:
        chain.begin(base, is_pruned=True)
    async for each in entries(trail, 0 if base is None else base.seq):
        if chain.fault is not None:
            return
        if isinstance(each, AuditRecord):
            chain.record(each)
        else:
            chain.checkpoint(each)


async def first_base(trail: AuditReading) -> Checkpoint | None:
    """Return the checkpoint on which a chain hangs whose beginning was pruned."""
    for record in await trail.audit_records(limit=1):
        if record.seq > 1:
            for each in await trail.checkpoints(after=record.seq - 2, limit=1):
                return each if each.seq == record.seq - 1 else None
    return None


async def entries(
    trail: AuditReading, after: int, until: int | None = None
) -> AsyncIterator[AuditRecord | Checkpoint]:
    """Yield the records beyond `after`, to `until`, each followed by its checkpoint; then checkpoints without one."""
    signed = checkpoints(trail, after)
    waiting = await anext(signed, None)
    async for record in records(trail, after):
        if until is not None and record.seq > until:
            return
        while waiting is not None and waiting.seq < record.seq:
            yield waiting
            waiting = await anext(signed, None)
        yield record
        if waiting is not None and waiting.seq == record.seq:
            yield waiting
            waiting = await anext(signed, None)
    while waiting is not None and (until is None or waiting.seq <= until):
        yield waiting
        waiting = await anext(signed, None)


async def records(trail: AuditReading, after: int) -> AsyncIterator[AuditRecord]:
    """Yield all records beyond `after`."""
    while page := await trail.audit_records(after=after, limit=PAGE):
        for record in page:
            yield record
        after = page[-1].seq


async def checkpoints(trail: AuditReading, after: int = 0) -> AsyncIterator[Checkpoint]:
    """Yield all checkpoints beyond `after`."""
    while page := await trail.checkpoints(after=after):
        for each in page:
            yield each
        after = page[-1].seq
