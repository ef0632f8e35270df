"""What stands beside the store: the key, the public keys, and the signed head of the chain.

Knows names, modes and how a file is replaced so that it is always whole. It must not know what the chain says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.audit.signer import NotAKey, Signer, Verifier
from gateway.domain.audit import Checkpoint

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
FOLDER_MODE: Final = 0o700


class Unusable(Exception):
    """A file beside the store cannot be used; the text says which, and what is wrong with it."""


class AuditFiles:
    """The three files named after `key_path`: the key itself, `.pub` and `.head`, unless that one is elsewhere."""

    def __init__(self, key_path: Path, head_path: Path | None = None) -> None:
        self.key_path = key_path
        self.public_path = key_path.with_suffix(".pub")
        self.head_path = head_path or key_path.with_suffix(".head")

    def signer(self) -> Signer:
        """Return the key, made at the first start, and see to it that the public keys are there. Raises `Unusable`."""
        try:
            self.key_path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            try:
                signer = Signer.of_pem(self.key_path.read_bytes())
            except FileNotFoundError:
                signer = self._make()
            self._publish(signer.verifier)
        except (OSError, NotAKey) as error:
            raise Unusable(f"audit.key {self.key_path}: {error}") from error
        return signer

    def _make(self) -> Signer:
        signer = Signer.generate()
        try:
            descriptor = os.open(
                self.key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE
            )
        except FileExistsError:  # another process was faster
            return Signer.of_pem(self.key_path.read_bytes())
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.pem())
            file.flush()
            os.fsync(file.fileno())
        return signer

    def _publish(self, verifier: Verifier) -> None:
        """Name the key first among the public ones; those of keys before it stay, for what they signed."""
        known = self.public_path.read_bytes() if self.public_path.exists() else b""
        keys = verifier.with_key(Verifier.of_pem(known)) if known else verifier
        if keys.pem() != known:
            _replace(self.public_path, keys.pem(), PUBLIC_MODE)

    def verifier(self) -> Verifier:
        """Return the public keys. Raises `Unusable`."""
        try:
            return Verifier.of_pem(self.public_path.read_bytes())
        except (OSError, NotAKey) as error:
            raise Unusable(f"{self.public_path}: {error}") from error

    def head(self) -> Checkpoint | None:
        """Return the head that was signed last, None if there is no file. Raises `Unusable`."""
        try:
            return checkpoint_of(json.loads(self.head_path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Unusable(f"{self.head_path}: {error}") from error

    def write_head(self, head: Checkpoint) -> None:
        """Replace the head. Raises `OSError`."""
        text = json.dumps(told(head), sort_keys=True) + "\n"
        _replace(self.head_path, text.encode("ascii"), SECRET_MODE)


def told(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint as JSON has it."""
    return {
        "seq": checkpoint.seq,
        "at": checkpoint.at,
        "hash": checkpoint.hash.hex(),
        "signature": checkpoint.signature.hex(),
        **(_numbered(checkpoint) if checkpoint.number else {}),
    }


def _numbered(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "number": checkpoint.number,
        "number_signature": checkpoint.number_signature.hex(),
    }


def checkpoint_of(content: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint that `told` wrote. Raises `ValueError`."""
    try:
        seq, at = content["seq"], content["at"]
        digest, signature = bytes.fromhex(content["hash"]), bytes.fromhex(content["signature"])
        number, numbered = content.get("number", 0), content.get("number_signature", "")
        number_signature = bytes.fromhex(numbered)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a checkpoint") from error
    # One spelling only, or a byte of a file could be changed unnoticed.
    spelled = (digest.hex(), signature.hex(), number_signature.hex())
    is_spelled = spelled == (content["hash"], content["signature"], numbered)
    if type(seq) is not int or type(number) is not int or type(at) is not float or not is_spelled:
        raise ValueError("not a checkpoint")
    return Checkpoint(
        seq=seq,
        at=at,
        hash=digest,
        signature=signature,
        number=number,
        number_signature=number_signature,
    )


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Put a file in the place of the one at `path`, whole or not at all, also when the power fails."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(
        beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
