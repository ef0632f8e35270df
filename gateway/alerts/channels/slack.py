"""Webhooks that take Slack's format: a text, in which `&`, `<` and `>` have a meaning and are escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway import __version__
from gateway.alerts.channels.posting import post
from gateway.domain.alert_messages import lines_of, subject_of

TEXT_LENGTH_MAX: Final = 10_000
"""Longer texts are cut by some receivers in the middle of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackChannel:
    """Implements `Channel`."""

    url: str = field(repr=False)
    timeout_seconds: float
    ca: str = ""

    async def send(self, message_id: str, content: Mapping[str, Any]) -> None:
        """Send a message."""
        del message_id  # the format has no place for it
        body = json.dumps({"text": text_of(content)}, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"Tollhouse/{__version__}"}
        await post(self.url, body, headers, timeout_seconds=self.timeout_seconds, ca=self.ca)


def text_of(content: Mapping[str, Any]) -> str:
    """Return the text of a message."""
    lines = lines_of(content)
    if len(lines) > 1:
        lines.insert(0, subject_of(content))
    kept: list[str] = []
    length = 0
    for line in map(_escaped, lines):
        length += len(line) + 1
        if length > TEXT_LENGTH_MAX:
            kept.append("...")
            break
        kept.append(line)
    return "\n".join(kept)


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
