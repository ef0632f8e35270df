"""Signed webhooks, in the manner of Standard Webhooks.

Knows its fields: `webhook-id` stays the same when a message is repeated, so that a receiver can tell; the time and the
signature are those of the attempt. It must not know when a message is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import __version__
from gateway.alerts.channels.posting import post
from gateway.domain.webhook_signature import signature
from gateway.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChannel:
    """Implements `Channel`. `secrets` sign each message, all of them."""

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    timeout_seconds: float
    clock: Clock
    ca: str = ""

    async def send(self, message_id: str, content: Mapping[str, Any]) -> None:
        """Send a message."""
        body = json.dumps(dict(content), separators=(",", ":"), allow_nan=False).encode()
        timestamp = int(self.clock.now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Tollhouse/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self.secrets, message_id, timestamp, body),
        }
        await post(self.url, body, headers, timeout_seconds=self.timeout_seconds, ca=self.ca)
