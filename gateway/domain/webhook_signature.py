"""Signatures of webhooks in the manner of Standard Webhooks (standardwebhooks.com), version 1.

Knows what is signed, `<id>.<timestamp>.<body>`, and how a secret is written: `whsec_` and Base64. It must not know how
a message is sent.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64
"""What the specification allows; `openssl rand -base64 32` makes a good one."""


def secret_bytes(secret: str) -> bytes:
    """Return the key that `secret` spells. Raises `ValueError` with a text that does not repeat it."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"must begin with {SECRET_PREFIX}")
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except Error:
        raise ValueError(f"must be {SECRET_PREFIX} and Base64") from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"must hold {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")
    return key


def signature(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the field `webhook-signature`: one signature for each secret, so that receivers can change theirs."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        f"v1,{b64encode(hmac.digest(secret_bytes(secret), signed, 'sha256')).decode()}"
        for secret in secrets
    )
