"""How long an upstream may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: to connect, to the head of the response, between its bytes, and in all (0 turns one off)."""

    connect_seconds: float = 2.0
    response_seconds: float = 30.0
    idle_seconds: float = 60.0
    total_seconds: float = 0.0
