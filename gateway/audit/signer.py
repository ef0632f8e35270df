"""The Ed25519 key that signs the chain, and the public keys by which signatures are checked.

Knows which bytes a signature is over: the checkpoint as canonical JSON, under a name that no other signature of ours
uses. It must not know records or files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.domain.audit import Checkpoint, Head, canonical

_CHECKPOINT: Final = "tollhouse audit checkpoint"
_NUMBER: Final = "tollhouse audit checkpoint number"
_EXPORT: Final = "tollhouse audit export"
_PEM_END: Final = b"-----END PUBLIC KEY-----"


class NotAKey(Exception):
    """A text is not the key that it should be; the message repeats nothing of it."""


class Verifier:
    """Checks signatures under any of `keys`: the present one, and those that it replaced."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def of_pem(cls, pem: bytes) -> Verifier:
        """Read public keys (PEM, one after the other). Raises `NotAKey`."""
        keys = []
        for block in pem.split(_PEM_END)[:-1]:
            try:
                key = serialization.load_pem_public_key(block.strip() + b"\n" + _PEM_END + b"\n")
            except (ValueError, UnsupportedAlgorithm) as error:
                raise NotAKey("not an Ed25519 public key in PEM") from error
            if not isinstance(key, Ed25519PublicKey):
                raise NotAKey("a public key of another kind than Ed25519")
            keys.append(key)
        if not keys:
            raise NotAKey("no public key in PEM")
        return cls(keys)

    def pem(self) -> bytes:
        """Return the keys as PEM, one after the other."""
        return b"".join(
            key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            for key in self._keys
        )

    @property
    def fingerprints(self) -> list[str]:
        """The SHA-256 of each raw key: what people compare, and keep elsewhere."""
        return [f"sha256:{sha256(key.public_bytes_raw()).hexdigest()}" for key in self._keys]

    def signed(self, checkpoint: Checkpoint) -> bool:
        """Tell whether one of the keys signed `checkpoint`, and its number, if it has one."""
        message = _message(checkpoint.seq, checkpoint.hash, checkpoint.at)
        if not self._is_valid(checkpoint.signature, message):
            return False
        if not checkpoint.number:
            return not checkpoint.number_signature
        return self._is_valid(checkpoint.number_signature, _number_message(checkpoint))

    def signed_export(self, digest: bytes, signature: bytes) -> bool:
        """Tell whether one of the keys signed an export whose bytes have this SHA-256."""
        return self._is_valid(signature, _export_message(digest))

    def _is_valid(self, signature: bytes, message: bytes) -> bool:
        for key in self._keys:
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False

    def with_key(self, other: Verifier) -> Verifier:
        """Return what believes the keys of both, each once."""
        keys = {key.public_bytes_raw(): key for key in (*self._keys, *other._keys)}
        return Verifier(keys.values())


class Signer:
    """Signs with the private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Signer:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_pem(cls, pem: bytes) -> Signer:
        """Read a private key (PKCS 8 in PEM, not encrypted). Raises `NotAKey`."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise NotAKey("not a private key in PEM, or an encrypted one") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise NotAKey("a private key of another kind than Ed25519")
        return cls(key)

    def pem(self) -> bytes:
        """Return the private key: for its file, and nothing else."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def verifier(self) -> Verifier:
        """What checks its signatures."""
        return Verifier([self._key.public_key()])

    def sign(self, head: Head, at: float, number: int = 0) -> Checkpoint:
        """Return the signature over the chain up to `head`, where there are `number` checkpoints; 0 says nothing of it.

        The number is signed apart from the rest, so that a gateway which does not count them yet believes the rest.
        """
        at = round(at, 6)
        signature = self._key.sign(_message(head.seq, head.hash, at))
        made = Checkpoint(seq=head.seq, at=at, hash=head.hash, signature=signature)
        if not number:
            return made
        made = replace(made, number=number)
        return replace(made, number_signature=self._key.sign(_number_message(made)))

    def sign_export(self, digest: bytes) -> bytes:
        """Return the signature of an export whose bytes have this SHA-256."""
        return self._key.sign(_export_message(digest))


def _message(seq: int, digest: bytes, at: float) -> bytes:
    content = {"at": at, "hash": digest.hex(), "seq": seq, "what": _CHECKPOINT}
    return canonical(content).encode("ascii")


def _number_message(checkpoint: Checkpoint) -> bytes:
    content = {
        "at": checkpoint.at,
        "hash": checkpoint.hash.hex(),
        "number": checkpoint.number,
        "seq": checkpoint.seq,
        "what": _NUMBER,
    }
    return canonical(content).encode("ascii")


def _export_message(digest: bytes) -> bytes:
    return canonical({"sha256": digest.hex(), "what": _EXPORT}).encode("ascii")
