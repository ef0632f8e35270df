"""A desk over alerts in memory, with channels that take or refuse what they get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.desk import AlertDesk
from gateway.domain.alert_routing import ChannelTerms
from gateway.stores.memory_alerts import MemoryAlerts
from tests.alert_samples import NOW, a_book, some_settings
from tests.clock import FakeClock


class Postmen:
    """Implements `Postman`: `broken` takes nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self.woken: list[str] = []
        self.errors: dict[str, Exception] = {"broken": Undelivered("the receiver answered 500")}

    async def send(self, name: str, content: Mapping[str, Any]) -> None:
        if name in self.errors:
            raise self.errors[name]
        self.sent.append((name, content))

    def wake(self, channels: Iterable[str]) -> None:
        self.woken += channels


class Room:
    """A desk, what it works on, and who sends for it."""

    def __init__(self, **rules: Any) -> None:
        self.kept = MemoryAlerts()
        self.postmen = Postmen()
        channels = {name: ChannelTerms() for name in ("ops", "mail", "broken")}
        settings = some_settings(a_book(**rules), channels=channels, runbooks_url="https://w/r")
        self.desk = AlertDesk(
            alerts=self.kept,
            outbox=self.kept,
            settings=lambda: settings,
            postman=self.postmen,
            clock=FakeClock(NOW),
        )
