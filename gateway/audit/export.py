"""A trail as a file that can be checked without the gateway, its database or any secret.

One JSON object per line: a header (public keys, and the checkpoint after which the export begins), records and
checkpoints in the order of the chain, and a trailer with the head of the chain and a signature over every byte before
it. The hash of a record is SHA-256 of the bytes between `"record":` and the last `}` of its line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

from gateway.audit.chain import Chain, Report
from gateway.audit.files import checkpoint_of, told
from gateway.audit.signer import NotAKey, Signer, Verifier
from gateway.domain.audit import AuditRecord, Checkpoint, canonical

FORMAT: Final = "tollhouse-audit"
VERSION: Final = 1

LINE_BYTES_MAX: Final = 16 * 2**20
"""Many times the largest record."""

_RECORD_START: Final = b'{"hash":"'
_RECORD_MIDDLE: Final = b'","kind":"record","record":'
_HASH_LENGTH: Final = 64


class Exporter:
    """Makes the lines of one export, in their order."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._digest = sha256()

    def header(self, verifier: Verifier, base: Checkpoint | None, at: float) -> bytes:
        """Return the first line. `base` is the checkpoint after which the export begins, None for the whole chain."""
        return self._line(
            {
                "kind": "header",
                "format": FORMAT,
                "version": VERSION,
                "exported_at": round(at, 6),
                "fingerprints": verifier.fingerprints,
                "public_keys": verifier.pem().decode("ascii"),
                "base": None if base is None else told(base),
            }
        )

    def entry(self, entry: AuditRecord | Checkpoint) -> bytes:
        """Return the line of a record or a checkpoint."""
        if isinstance(entry, Checkpoint):
            return self._line({"kind": "checkpoint", **told(entry)})
        line = b"%b%b%b%b}\n" % (
            _RECORD_START,
            entry.hash.hex().encode("ascii"),
            _RECORD_MIDDLE,
            entry.body.encode("ascii"),
        )
        self._digest.update(line)
        return line

    def trailer(self, head: Checkpoint) -> bytes:
        """Return the last line."""
        digest = self._digest.digest()
        return self._line(
            {
                "kind": "trailer",
                "head": told(head),
                "sha256": digest.hex(),
                "signature": self._signer.sign_export(digest).hex(),
            }
        )

    def _line(self, content: dict[str, Any]) -> bytes:
        line = canonical(content).encode("ascii") + b"\n"
        self._digest.update(line)
        return line


def verify_export(
    lines: Iterable[bytes], trusted: Verifier | None = None
) -> tuple[Report, list[str]]:
    """Check the lines of an export; return what was found, and the fingerprints of the keys that were believed.

    Without `trusted`, the keys are believed that the export itself names: then compare the fingerprints.
    """
    reading = _Reading(trusted)
    for line in lines:
        reading.take(line)
        if reading.chain.fault is not None:
            break
    return reading.end(), reading.verifier.fingerprints


def lines_of(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of an open binary file; what is too long for a line is cut, and found wrong."""
    for line in file:
        yield line[:LINE_BYTES_MAX]


class _Reading:
    def __init__(self, trusted: Verifier | None) -> None:
        self.verifier = trusted or Verifier([])
        self.chain = Chain(self.verifier)
        self._is_trusting = trusted is None
        self._has_begun = self._has_ended = False
        self._digest = sha256()

    def take(self, line: bytes) -> None:
        """Look at the next line."""
        if self._has_ended:
            self._wrong("something follows the trailer")
        elif line.startswith(_RECORD_START):
            self._record(line)
        else:
            self._other(line)
        self._digest.update(line)

    def end(self) -> Report:
        """Return what was found."""
        if not self._has_begun:
            self.chain.fail("edited", 0, "this is not an export of an audit trail")
        elif not self._has_ended:
            self.chain.fail("truncated", self.chain.last.seq + 1, "the trailer is missing")
        return self.chain.end()

    def _wrong(self, text: str) -> None:
        self.chain.fail("edited", self.chain.last.seq + 1, text)

    def _record(self, line: bytes) -> None:
        border = len(_RECORD_START) + _HASH_LENGTH
        raw_hash, rest = line[len(_RECORD_START) : border], line[border:]
        if not (self._has_begun and rest.startswith(_RECORD_MIDDLE) and rest.endswith(b"}\n")):
            self._wrong("a line is no record")
            return
        body = rest[len(_RECORD_MIDDLE) : -len(b"}\n")]
        if sha256(body).hexdigest().encode("ascii") != raw_hash:
            self._wrong("its body does not have its hash")
            return
        try:
            content = json.loads(body)
            record = AuditRecord(
                seq=content["seq"],
                at=content["ts"],
                type=content["type"],
                tenant_id=content["tenant_id"],
                key_id=content["key_id"],
                actor=content["actor"]["name"],
                body=body.decode("ascii"),
                hash=bytes.fromhex(raw_hash.decode("ascii")),
            )
        except (ValueError, KeyError, TypeError):
            self._wrong("its body is not a record")
            return
        if type(record.seq) is int:
            self.chain.record(record)
        else:
            self._wrong("its number is none")

    def _other(self, line: bytes) -> None:
        try:
            content = json.loads(line.decode("ascii"))
            if canonical(content).encode("ascii") + b"\n" != line:
                raise ValueError("not canonical")  # noqa: TRY301 - handled below, as all the others
            kind = content["kind"]
            if kind == "header" and not self._has_begun:
                self._header(content)
            elif kind == "checkpoint" and self._has_begun:
                self.chain.checkpoint(checkpoint_of(content))
            elif kind == "trailer" and self._has_begun:
                self._trailer(content)
            else:
                self._wrong("a line stands where it does not belong")
        except (ValueError, KeyError, TypeError, NotAKey):
            self._wrong("a line cannot be read")

    def _header(self, content: dict[str, Any]) -> None:
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError("another format")
        if self._is_trusting:
            self.verifier = Verifier.of_pem(content["public_keys"].encode("ascii"))
            self.chain = Chain(self.verifier)
        self._has_begun = True
        if content["base"] is not None:
            self.chain.begin(checkpoint_of(content["base"]), is_pruned=False)

    def _trailer(self, content: dict[str, Any]) -> None:
        self._has_ended = True
        head = checkpoint_of(content["head"])
        self.chain.counted(head.number)
        self.chain.checkpoint(head)
        digest = self._digest.digest()
        signature = bytes.fromhex(content["signature"])
        if signature.hex() != content["signature"]:
            raise ValueError("another spelling")
        if content["sha256"] != digest.hex() or not self.verifier.signed_export(digest, signature):
            self.chain.fail(
                "edited", 0, "the header, or the order of lines, is not what was signed"
            )
