"""What every channel is: it sends a message, or says why it could not.

Knows what an attempt may come to. It must not know how often a message is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Undelivered(Exception):
    """A message was not taken. The text is for people and holds no secret.

    `is_final`: trying again is pointless. `retry_after_seconds` is what the receiver asked for, 0 for nothing.
    """

    def __init__(
        self, text: str, *, is_final: bool = False, retry_after_seconds: float = 0.0
    ) -> None:
        self.is_final = is_final
        self.retry_after_seconds = retry_after_seconds
        super().__init__(text)


class Channel(Protocol):
    """One way to tell of alerts."""

    async def send(self, message_id: str, content: Mapping[str, Any]) -> None:
        """Send a message (`domain.alert_messages.content_of`); a repetition has the same id and content.

        Returns when the receiver has taken it. Raises `Undelivered`, and nothing else, within its timeout.
        """
        ...
