"""The gateway's own log as a channel: one line per alert."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.alert_messages import lines_of

_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}

_log = logging.getLogger(__name__)


class LogChannel:
    """Implements `Channel`; it takes everything."""

    async def send(self, message_id: str, content: Mapping[str, Any]) -> None:
        """Write a message: as urgent as the most urgent of what fired."""
        levels = [
            _LEVELS[each["severity"]] for each in content["alerts"] if each["event"] == "fired"
        ]
        for line in lines_of(content):
            _log.log(max(levels, default=logging.INFO), "alert %s: %s", message_id, line)
