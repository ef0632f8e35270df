"""The audit trail: one chain of sealed records, in which no record can be changed, removed or moved unnoticed.

Knows how a change becomes a record, and which bytes are hashed: the record as canonical JSON (keys sorted, no spaces,
ASCII), with the hash of the record before it. It must not know where records are kept or who signs them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final

from gateway.domain.change import Change

GENESIS: Final = bytes(32)
"""Stands for the hash of the record before the first one."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and the hash (32 bytes) of its last record; 0 for a chain without any."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One sealed record. `seq` counts from 1 without a gap; `hash` is SHA-256 of `body`, the record as JSON."""

    seq: int
    at: float
    type: str
    tenant_id: str
    key_id: str
    actor: str
    body: str
    hash: bytes

    @property
    def audit_id(self) -> str:
        """The sortable public id."""
        return audit_id(self.seq)

    def content(self) -> dict[str, Any]:
        """Return the body as an object."""
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signature over the chain up to record `seq`, whose hash is `hash`. `at` is epoch seconds.

    `number` says how many checkpoints there are up to here, under a signature of its own (`number_signature`): one that
    is missing leaves a gap. 0 for one of a gateway that did not count them yet.
    """

    seq: int
    at: float
    hash: bytes
    signature: bytes
    number: int = 0
    number_signature: bytes = b""


def audit_id(seq: int) -> str:
    """Return the public id of record `seq`: sorts as the records do."""
    return f"aud_{seq:016d}"


def seal(head: Head, change: Change) -> AuditRecord:
    """Return the record that tells of `change` and follows `head`."""
    seq = head.seq + 1
    content: Mapping[str, Any] = {
        "id": audit_id(seq),
        "seq": seq,
        "ts": round(change.at, 6),
        "type": str(change.type),
        "actor": asdict(change.actor),
        "tenant_id": change.tenant_id,
        "key_id": change.key_id,
        "subject_id": change.subject_id,
        "reason": change.reason,
        "before": _plain(change.before),
        "after": _plain(change.after),
        "request_id": change.request_id,
        "prev_hash": head.hash.hex(),
    }
    body = canonical(content)
    return AuditRecord(
        seq=seq,
        at=round(change.at, 6),
        type=str(change.type),
        tenant_id=change.tenant_id,
        key_id=change.key_id,
        actor=change.actor.name,
        body=body,
        hash=sha256(body.encode("ascii")).digest(),
    )


def canonical(content: Mapping[str, Any]) -> str:
    """Return the one JSON text of `content`: keys sorted, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple | frozenset) else value
        for name, value in fields.items()
        if not isinstance(value, bytes)  # a digest has no place here
    }
