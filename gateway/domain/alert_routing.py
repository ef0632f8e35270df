"""Who is told of an alert: what each channel wants to hear.

Knows severities and tenants. It must not know how a channel carries what it tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.alerts import Alert, AlertEvent, Severity

_ORDER: Final = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTerms:
    """What a channel wants: nothing less urgent than `severity_min`; with `tenants`, only what concerns one of these;
    that an alert is over only `with_resolved`. At most one message in `every_seconds`, tried `attempts_max` times.
    """

    severity_min: Severity = Severity.INFO
    tenants: frozenset[str] = frozenset()
    with_resolved: bool = True
    every_seconds: float = 60.0
    attempts_max: int = 10

    def wants(self, alert: Alert, event: AlertEvent) -> bool:
        """Say whether the channel is to tell of this event."""
        if event is AlertEvent.RESOLVED and not self.with_resolved:
            return False
        if self.tenants and alert.tenant_id not in self.tenants:
            return False
        return _ORDER[alert.severity] >= _ORDER[self.severity_min]
