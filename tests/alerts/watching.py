"""The rules over stores in memory and a clock that stands still, and who would be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from gateway.alerts.baselines import Baselines
from gateway.alerts.board import Board
from gateway.alerts.duty import ALL, Duty
from gateway.alerts.evaluator import Evaluator, Eyes
from gateway.alerts.failures import FailedNetworks
from gateway.alerts.health import HealthLook
from gateway.alerts.lifetimes import LifetimesLook
from gateway.alerts.places import DEFAULT, Bounds, PlacesLook
from gateway.alerts.settings import AlertSettings
from gateway.alerts.traffic import TrafficLook
from gateway.domain.alert_messages import Notice
from gateway.domain.alert_rules.health import Health
from gateway.domain.alerts import AlertQuery
from gateway.domain.queries import RequestQuery
from gateway.domain.usage import Cell, Dimensions, Facet, FacetKind, Interval, Measures
from gateway.ports import KeptAlerts
from gateway.store_ports import RequestPage
from gateway.stores.memory import MemoryStore
from gateway.stores.memory_alerts import MemoryAlerts
from gateway.stores.memory_usage import MemoryUsage
from tests.alert_samples import NOW, some_settings
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant


class ToldRequests:
    """A request log that holds what a test puts there."""

    def __init__(self) -> None:
        self.is_kept = True
        self.rows: list[dict[str, Any]] = []
        self.asked: list[RequestQuery] = []

    async def search(
        self, query: RequestQuery, *, limit: int = 100, cursor: str = ""
    ) -> RequestPage:
        self.asked.append(query)
        found = [row for row in self.rows if row["reason"] == query.reason]
        return RequestPage([*found[:limit]], "")

    async def clients(
        self, key_id: str, since: float, tenant_ids: tuple[str, ...] | None = None
    ) -> list[Any]:
        return []


class ToldTeller:
    """Implements `Teller`."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.now: list[Notice] = []

    def wake(self, channels: Iterable[str]) -> None:
        self.woken += channels

    def tell_now(self, notices: Sequence[Notice]) -> None:
        self.now += notices


class Watching:
    """An evaluator, and everything that it looks at."""

    def __init__(
        self,
        *,
        settings: AlertSettings | None = None,
        kept: KeptAlerts | None = None,
        store: Any = None,
        usage: Any = None,
        clock: FakeClock | None = None,
        keys_per_round: int = 5_000,
        bounds: Bounds = DEFAULT,
        duty: Duty = ALL,
    ) -> None:
        self.duty = duty
        self.settings = settings or some_settings()
        self.clock = clock or FakeClock(NOW)
        self.store: Any = store or MemoryStore()
        self.usage: Any = usage or MemoryUsage()
        self.kept: Any = kept or MemoryAlerts()
        self.requests = ToldRequests()
        self.teller = ToldTeller()
        self.health = Health()
        self.ids = count(1)
        self.keys_per_round = keys_per_round
        self.bounds = bounds
        self.start()

    def start(self) -> None:
        """Begin anew with what is stored, as after a restart."""
        networks = FailedNetworks(
            self.requests, lambda address: f"{address}/24", lambda: not self.duty.others
        )
        traffic = TrafficLook(self.usage, self.store, Baselines(self.usage, self.store), networks)
        self.places = PlacesLook(self.usage, self.store, traffic.refused_addresses, self.bounds)
        self.evaluator = Evaluator(
            settings=lambda: self.settings,
            eyes=Eyes(
                of_keys=(
                    traffic,
                    self.places,
                    LifetimesLook(self.store, self.keys_per_round),
                ),
                health=HealthLook(self._health, self.duty.node),
            ),
            keys=self.store,
            alerts=self.kept,
            board=Board(lambda: f"alr_{next(self.ids)}"),
            teller=self.teller,
            clock=self.clock,
            duty=lambda: self.duty,
        )

    async def _health(self) -> Health:
        return self.health

    async def look(self, after: float = 60.0) -> None:
        """Let time pass, and go through all rules."""
        self.clock.advance(after)
        await self.evaluator.look()

    # ---- what is there

    async def add_tenant(self, tenant_id: str = "ten_a", **values: Any) -> None:
        await self.store.save_tenant(a_tenant(tenant_id, **values))

    async def add_key(self, key_id: str = "key_a", **values: Any) -> None:
        given = {"created_at": self.clock.now() - 30 * 86_400, "name": key_id} | values
        await self.store.save_key(a_key(key_id, **given))

    async def use(
        self,
        key_id: str = "key_a",
        requests: int = 1,
        *,
        network: str = "192.0.2.0/24",
        at: float | None = None,
        tenant_id: str = "ten_a",
        **counted: Any,
    ) -> None:
        """Count requests as the gateway would."""
        moment = self.clock.now() if at is None else at
        of = Dimensions(key_id=key_id, tenant_id=tenant_id, owner_id=tenant_id, route="jobs")
        if not key_id:
            of = Dimensions()
        cell = Cell(
            start=Interval.MINUTE.start_of(moment),
            dimensions=of,
            measures=Measures(requests=requests, **counted),
        )
        facet = Facet(
            start=Interval.HOUR.start_of(moment),
            tenant_id=of.tenant_id,
            key_id=key_id,
            kind=FacetKind.NETWORK,
            value=network,
            requests=requests,
            first_at=moment,
            last_at=moment,
        )
        await self.usage.add([cell], [facet])

    async def refuse(
        self, reason: str, key_id: str = "key_a", requests: int = 1, **more: Any
    ) -> None:
        """Count requests that were refused."""
        await self.use(key_id, requests, denied=requests, reasons={reason: requests}, **more)

    # ---- what came of it

    async def alerts(self, state: str = "") -> list[tuple[str, str, str]]:
        """Return rule, key or tenant, and subject of what is found, in the order in which it began."""
        found = await self.kept.alerts(AlertQuery(state=state), limit=1000)
        return [
            (str(each.rule), each.key_id or each.tenant_id, each.subject)
            for each in reversed(found.alerts)
        ]

    async def told(self, channel: str = "ops") -> list[tuple[str, str]]:
        """Return event and rule of what a channel is to tell."""
        waiting = await self.kept.waiting(channel, 10_000)
        return [(each["event"], each["rule"]) for each in waiting.notices]

    async def audited(self) -> list[str]:
        return [each.type for each in await self.kept.audit.audit_records(limit=10_000)]


async def watching(**values: Any) -> Watching:
    """Return rules over a tenant with a key."""
    watch = Watching(**values)
    await watch.add_tenant()
    await watch.add_key()
    return watch
