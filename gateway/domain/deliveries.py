"""Deliveries: a link with which somebody takes a new key's secret, once.

A delivery stores no secret, not even an encrypted one: the key exists with a digest that nothing hashes to, and its
secret is made in the moment in which the link is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One link. `digest` is SHA-256 of what the link holds, 32 bytes. Times are epoch seconds (UTC).

    `redeemed_from` is the address of whoever took the secret.
    """

    delivery_id: str
    digest: bytes = field(repr=False)
    key_id: str
    tenant_id: str
    created_at: float
    expires_at: float
    redeemed_at: float | None = None
    redeemed_from: str = ""
    revision: int = 0

    def is_open_at(self, now: float) -> bool:
        """Tell whether the link still gives a secret at `now` (epoch seconds)."""
        return self.redeemed_at is None and now < self.expires_at
