"""What the gateway does without at the moment, and by which rule of `on_failure`.

Knows how each dependency is found to be missing, and that it is told once when that begins and once when it ends. It
must not know what is done meanwhile: that is done where the dependency is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from gateway.config import model
from gateway.control.periodic import Periodic
from gateway.domain.failures import DEPENDENCIES

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

LOOK_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Degradation:
    """Looks at each dependency of `gateway`, in all its processes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._since: dict[str, float] = {}
        self._probes: Mapping[str, Callable[[], str]] = {
            "keys": lambda: gateway.reserve.fault,
            "limits": lambda: self._read("limiter_up", "they are not counted in Redis"),
            "audit": lambda: self._read("request_log_up", "the request log cannot be written"),
            "usage": lambda: gateway.usage.fault,
            "geoip": lambda: gateway.usage.geoip_fault,
            "alerts": self._alerts,
            "config": lambda: self._read(
                "config_last_reload_successful", "a changed configuration was refused"
            ),
        }
        gateway.recorders.metrics.watch("degraded", self.reading)

    @property
    def work(self) -> Periodic:
        """What is done again and again."""
        return Periodic("looking for what is missing", lambda: LOOK_SECONDS, self.look)

    async def look(self) -> None:
        """Take note of what is missing, and of what is there again."""
        now = self._gateway.clock.monotonic()
        for name, probe in self._probes.items():
            why = probe()
            since = self._since.get(name)
            if why and since is None:
                self._since[name] = now
                _log.warning("on_failure.%s applies (%s): %s", name, self._mode(name), why)
            elif not why and since is not None:
                del self._since[name]
                _log.warning("on_failure.%s applies no longer, after %.1f s", name, now - since)

    def present(self) -> Mapping[str, str]:
        """Return what is missing, and by which rule the gateway goes on."""
        return {name: self._mode(name) for name in self._since}

    def reading(self) -> Mapping[tuple[str, ...], float]:
        """Return the metric."""
        return {(name,): float(name in self._since) for name in DEPENDENCIES}

    def _mode(self, name: str) -> str:
        return mode_of(self._gateway.config, name)

    def _read(self, metric: str, why: str) -> str:
        told = self._gateway.recorders.metrics.crew.read_one(metric)
        return "" if min(told.values(), default=1.0) else why

    def _alerts(self) -> str:
        told = self._gateway.recorders.metrics.crew.read_one("alert_messages")
        waiting = sum(count for (_, state), count in told.items() if state == "waiting")
        return f"{waiting:.0f} messages wait for another attempt" if waiting else ""


def mode_of(config: model.Config, name: str) -> str:
    """Return the rule of `on_failure` for a dependency."""
    found = getattr(config.on_failure, name)
    return found.mode if isinstance(found, model.OnKeyFailure) else str(found)
