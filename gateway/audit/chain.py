"""The check of a chain: record by record, checkpoint by checkpoint, in constant memory, up to the first fault.

Knows what makes a chain sound and which record a fault points at. It must not know where records come from: a store and
an export are checked by the same lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from gateway.audit.signer import Verifier
from gateway.domain.audit import GENESIS, AuditRecord, Checkpoint, Head, audit_id
from gateway.domain.change import ChangeType

PRUNED_THROUGH: Final = "through_seq"
"""The field of `audit.pruned` that names the last record that was removed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the first record (`seq`) that it is about.

    `kind` is `edited`, `removed`, `out_of_order`, `unlinked`, `rewritten`, `truncated`, `forged` (a checkpoint),
    `unsigned` (a checkpoint was removed) or `replaced` (the whole chain).
    """

    kind: str
    seq: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found. `records` were sound, from `first_seq` to `last_seq`; `signed_seq` is the last of them under
    a signature. `fault` is None for a chain that is sound throughout.
    """

    records: int
    first_seq: int
    last_seq: int
    checkpoints: int
    signed_seq: int
    fault: Fault | None


class Chain:
    """Walks one chain. The first fault stands; what comes after it is not looked at. `last` is how far it has come.

    `head` is what was signed last, outside of the store; None where there is nothing to hold the end against.
    """

    def __init__(self, verifier: Verifier, head: Checkpoint | None = None) -> None:
        self._verifier = verifier
        self._head = head
        self.last = Head()
        self._anchor = 0  # the last record whose hash a valid signature vouches for
        self._first = 0
        self._records = 0
        self.checkpoints = 0
        # Of the last checkpoint; None: nothing says how many were before.
        self._number: int | None = 0
        self._checkpoint_seq = 0
        self._is_pruning_told = True
        self.fault: Fault | None = None
        if head is not None and not verifier.signed(head):
            self.fail("forged", head.seq, "the signature of the head file is wrong")

    # ---- the walk, in the order of the chain

    def begin(self, base: Checkpoint, *, is_pruned: bool) -> None:
        """Begin after the record that `base` covers. With `is_pruned` a record of the chain must say so."""
        if self._is_sound(base):
            self.last = Head(base.seq, base.hash)
            self._anchor = self._checkpoint_seq = base.seq
            self._number = base.number or None
            self._is_pruning_told = not is_pruned

    def record(self, record: AuditRecord) -> None:
        """Look at the next record."""
        if self.fault is not None:
            return
        expected = self.last.seq + 1
        if record.seq > expected:
            self.fail("removed", expected, f"{_range(expected, record.seq - 1)} missing")
        elif record.seq < expected:
            self.fail(
                "out_of_order", record.seq, f"record {record.seq} stands after {expected - 1}"
            )
        elif (why := _untrue(record)) is not None:
            self.fail("edited", record.seq, why)
        elif record.content()["prev_hash"] != self.last.hash.hex():
            self._unlinked(record.seq)
        else:
            self._take(record)

    def _take(self, record: AuditRecord) -> None:
        self._first = self._first or record.seq
        self._records += 1
        self.last = Head(record.seq, record.hash)
        if record.type == ChangeType.AUDIT_PRUNED:
            through = record.content()["after"].get(PRUNED_THROUGH)
            self._is_pruning_told = self._is_pruning_told or through == self._first - 1
        head = self._head
        if head is not None and head.seq == record.seq:
            if head.hash == record.hash:
                self._anchor = record.seq
            else:
                self._rewritten(record.seq, "the head file")

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Look at the checkpoint of the record that was last looked at."""
        if self.fault is not None:
            return
        if not self._is_sound(checkpoint):
            return
        if checkpoint.seq != self.last.seq:
            self.fail(
                "removed", self.last.seq + 1, f"{_range(self.last.seq + 1, checkpoint.seq)} missing"
            )
        elif checkpoint.hash != self.last.hash:
            self._rewritten(checkpoint.seq, "its checkpoint")
        else:
            self._number_follows(checkpoint)
            self._anchor = checkpoint.seq
            self.checkpoints += 1

    def _number_follows(self, checkpoint: Checkpoint) -> None:
        """Hold the number of a checkpoint against the one before. It may be the same: two gateways may have been
        signing for a moment, when one took over from the other.
        """
        if checkpoint.number and self._number is not None:
            self.counted(checkpoint.number - 1)
            self._number = max(checkpoint.number, self._number)
        elif checkpoint.number:
            self._number = checkpoint.number
        elif self._number is not None:
            self._number += 1
        self._checkpoint_seq = checkpoint.seq

    def counted(self, number: int) -> None:
        """Take note that there have been `number` checkpoints so far: a signature says so."""
        if self._number is None or number <= self._number:
            return
        missing = number - self._number
        where = f"after record {self._checkpoint_seq}" if self._checkpoint_seq else "at the start"
        count = "a checkpoint is" if missing == 1 else f"{missing} checkpoints are"
        self.fail("unsigned", self._checkpoint_seq + 1, f"{count} missing {where}")

    def vouch(self) -> None:
        """Take what was looked at for signed: whoever calls has just signed it."""
        self._anchor = self.last.seq

    def end(self) -> Report:
        """Hold the end against the head, and return what was found."""
        head, last = self._head, self.last.seq
        if self.fault is None and head is not None and head.seq > last:
            self.fail("truncated", last + 1, f"{_range(last + 1, head.seq)} missing at the end")
        if head is not None:
            self.counted(head.number)
        if self.fault is None and not self._is_pruning_told:
            self.fail(
                "removed",
                1,
                f"{_range(1, self._first - 1)} missing, and no {ChangeType.AUDIT_PRUNED} tells of it",
            )
        return Report(
            records=self._records,
            first_seq=self._first,
            last_seq=last,
            checkpoints=self.checkpoints,
            signed_seq=self._anchor,
            fault=self.fault,
        )

    # ---- faults

    def fail(self, kind: str, seq: int, text: str) -> None:
        """Note a fault, unless there is one already."""
        if self.fault is None:
            self.fault = Fault(kind, seq, text)

    def _is_sound(self, checkpoint: Checkpoint) -> bool:
        if self.fault is None and not self._verifier.signed(checkpoint):
            self.fail("forged", checkpoint.seq, "the signature of its checkpoint is wrong")
        return self.fault is None

    def _unlinked(self, seq: int) -> None:
        """Tell which record was replaced: the one before, unless a signature vouches for it."""
        if seq - 1 == self._anchor:
            first = seq
            kind = "replaced" if seq == 1 and self.last.hash == GENESIS else "unlinked"
            text = f"record {seq} does not follow what is signed before it"
        else:
            kind, first = "unlinked", seq - 1
            text = f"record {seq} does not follow record {seq - 1}: one of them was replaced"
        self.fail(kind, first, text)

    def _rewritten(self, seq: int, witness: str) -> None:
        first = self._anchor + 1
        text = f"the hash of record {seq} is not the one that {witness} signs: {_range(first, seq)} rewritten"
        self.fail("rewritten", first, text)


def _range(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def _untrue(record: AuditRecord) -> str | None:
    """Say what of a record does not fit its hash, or its body; None for a sound one."""
    try:
        raw = record.body.encode("ascii")
    except UnicodeEncodeError:
        return "its body is not ASCII"
    if sha256(raw).digest() != record.hash:
        return "its body does not have its hash"
    try:
        content: Any = json.loads(raw)
        told = {
            "id": content["id"],
            "seq": content["seq"],
            "at": content["ts"],
            "type": content["type"],
            "tenant_id": content["tenant_id"],
            "key_id": content["key_id"],
            "actor": content["actor"]["name"],
        }
        content["prev_hash"], content["after"].get
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its body is not a record"
    stored = {
        "id": audit_id(record.seq),
        "seq": record.seq,
        "at": record.at,
        "type": record.type,
        "tenant_id": record.tenant_id,
        "key_id": record.key_id,
        "actor": record.actor,
    }
    differing = [name for name, value in stored.items() if told[name] != value]
    return f"its column {differing[0]} is not what its body says" if differing else None
