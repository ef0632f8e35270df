"""Says what another configuration would do before it is taken: to routes, limits and upstreams, and to whom.

Knows how keys are judged under two configurations: they are bound by each, as for requests, once for all keys that are
bound alike. It reads the store page by page beside requests, and changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.assembly import policy, stores
from gateway.assembly.binder import Binder
from gateway.assembly.errors import CannotStart
from gateway.assembly.succession import settle
from gateway.config import model
from gateway.config.differences import route_changes, upstream_changes
from gateway.config.planned import CallerChange, Callers, Planned
from gateway.config.reloading import Reloaded
from gateway.control.beside import beside
from gateway.control.clock import SystemClock
from gateway.domain.access import Caller, Crossing, Difference
from gateway.domain.keys import BoundKey, KeyRecord, KeyState
from gateway.domain.limit_changes import LimitChange, limit_changes
from gateway.domain.limits import Plan
from gateway.domain.routes import RouteTable
from gateway.domain.tenants import Tenant
from gateway.ports import KeyStore, StoreUnavailable

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

KEYS_MAX: Final = 200_000
"""Keys that a plan looks at: some seconds of reading, in parts of milliseconds."""

_PAGE: Final = 500
"""Keys that are read together: some 8 ms of the event loop."""

_KINDS_MAX: Final = 20_000
"""Kinds of keys that are remembered; beyond, remembering begins anew."""


@dataclass(frozen=True, slots=True)
class _Side:
    """What one of the two configurations means for keys."""

    config: model.Config
    plans: Mapping[str, Plan]
    table: RouteTable
    barred: frozenset[tuple[str, str]]
    binder: Binder

    @classmethod
    def of(cls, config: model.Config) -> _Side:
        plans = policy.plans(config)
        return cls(
            config=config,
            plans=plans,
            table=RouteTable(policy.routes(config, plans)),
            barred=policy.barred(config),
            binder=Binder(config, plans, policy.scopes(config)),
        )


class _Kind(NamedTuple):
    """What tells keys apart that are bound differently; before and after, where the bootstrap section changes it."""

    environment: str
    scopes: tuple[str, ...]
    scopes_after: tuple[str, ...]
    plan: str
    plan_after: str
    tenant_plan: str
    tenant_plan_after: str


Owned = tuple[KeyRecord, Tenant]
"""A key and its tenant."""


class Verdict(NamedTuple):
    """What becomes of keys of one kind: what they lose and gain, and which of the limits that change are theirs."""

    difference: Difference
    limited: tuple[str, ...]


class Comparison:
    """Two configurations, compared. Made beside the event loop: takes some 200 ms per thousand routes."""

    def __init__(self, before: model.Config, after: model.Config) -> None:
        self._before, self._after = _Side.of(before), _Side.of(after)
        self.routes = [*route_changes(before, after)]
        self.upstreams = [*upstream_changes(before, after)]
        self.limits: list[LimitChange] = [
            *limit_changes(self._before.plans.values(), self._after.plans.values())
        ]
        self._crossing = Crossing(
            self._before.table, self._before.barred, self._after.table, self._after.barred
        )
        self.anyone = self._crossing.compare(None, None)
        self._changed = frozenset(change.policy for change in self.limits)
        self._declared = {key.id: key for key in after.bootstrap.keys}
        self._tenants = {tenant.id: tenant for tenant in after.bootstrap.tenants}
        self._known: dict[_Kind, Verdict] = {}

    def judge(self, keys: Sequence[Owned]) -> list[Verdict]:
        """Return what becomes of each key."""
        return [self._judge(record, tenant) for record, tenant in keys]

    def _judge(self, record: KeyRecord, tenant: Tenant) -> Verdict:
        key, owner = self._declared.get(record.key_id), self._tenants.get(tenant.tenant_id)
        kind = _Kind(
            environment=record.environment,
            scopes=record.scopes,
            scopes_after=record.scopes if key is None else key.scopes,
            plan=record.plan,
            plan_after=record.plan if key is None else key.plan,
            tenant_plan=tenant.plan,
            tenant_plan_after=tenant.plan if owner is None else owner.plan,
        )
        found = self._known.get(kind)
        if found is None:
            if len(self._known) >= _KINDS_MAX:
                self._known.clear()
            found = self._known[kind] = self._judged(kind, record, tenant)
        return found

    def _judged(self, kind: _Kind, record: KeyRecord, tenant: Tenant) -> Verdict:
        before = _bound(self._before, record, tenant)
        after = _bound(
            self._after,
            replace(record, scopes=kind.scopes_after, plan=kind.plan_after),
            replace(tenant, plan=kind.tenant_plan_after),
        )
        difference = self._crossing.compare(_caller(record, before), _caller(record, after))
        drawn = {claim.policy for key in (before, after) if key is not None for claim in key.claims}
        return Verdict(difference, tuple(sorted(drawn & self._changed)))


def _bound(side: _Side, record: KeyRecord, tenant: Tenant) -> BoundKey | None:
    """Return the key as requests would have it, None when the configuration cannot bind it."""
    try:
        return side.binder(record, tenant)
    except (LookupError, ValueError):
        return None


def _caller(record: KeyRecord, bound: BoundKey | None) -> Caller:
    if bound is None:
        return Caller(environment=record.environment, scopes=frozenset(), is_usable=False)
    return Caller(environment=record.environment, scopes=bound.scopes)


async def survey(
    comparison: Comparison,
    store: KeyStore,
    now: float,
    *,
    first: int,
    keys_max: int = KEYS_MAX,
) -> Callers:
    """Judge the keys of `store`, but for those that have ended; name the `first` ones. Raises `StoreUnavailable`."""
    count = _Count(comparison.limits, first)
    async for page in _pages(store, now):
        seen = page[: keys_max - count.keys]
        for (record, _), verdict in zip(seen, await beside(comparison.judge, seen), strict=True):
            count.add(record, verdict)
        if len(seen) < len(page):
            return count.callers(f"only the first {keys_max} keys were looked at")
    return count.callers("")


class _Count:
    """Counts verdicts, and remembers the first."""

    def __init__(self, limits: Iterable[LimitChange], first: int) -> None:
        self.keys = self._losing = self._gaining = 0
        self._first = first
        self._first_losing: list[CallerChange] = []
        self._first_gaining: list[CallerChange] = []
        self._limited = {change.policy: 0 for change in limits}

    def add(self, record: KeyRecord, verdict: Verdict) -> None:
        """Count one key."""
        self.keys += 1
        for each in verdict.limited:
            self._limited[each] += 1
        self._losing += bool(verdict.difference.losses)
        self._gaining += bool(verdict.difference.gains)
        if verdict.difference.losses and len(self._first_losing) < self._first:
            self._first_losing.append(_change(record, verdict.difference))
        if verdict.difference.gains and len(self._first_gaining) < self._first:
            self._first_gaining.append(_change(record, verdict.difference))

    def callers(self, unseen: str) -> Callers:
        """Return what was counted."""
        return Callers(
            keys=self.keys,
            losing=self._losing,
            gaining=self._gaining,
            first_losing=self._first_losing,
            first_gaining=self._first_gaining,
            limited=self._limited,
            unseen=unseen,
        )


async def _pages(store: KeyStore, now: float) -> AsyncIterator[list[Owned]]:
    """Yield the keys that are in use, or could be again, with their tenants."""
    tenants: dict[str, Tenant | None] = {}
    after = ""
    while page := await store.list_keys(after=after, limit=_PAGE):
        after = page[-1].key_id
        found: list[Owned] = []
        for record in page:
            if record.state_at(now) in (KeyState.REVOKED, KeyState.EXPIRED):
                continue
            if record.tenant_id not in tenants:
                if len(tenants) >= _KINDS_MAX:
                    tenants.clear()
                tenants[record.tenant_id] = await store.get(Tenant, record.tenant_id)
            tenant = tenants[record.tenant_id]
            if tenant is not None:
                found.append((record, tenant))
        yield found


def _change(record: KeyRecord, difference: Difference) -> CallerChange:
    return CallerChange(
        key_id=record.key_id,
        name=record.name,
        tenant_id=record.tenant_id,
        environment=record.environment,
        difference=difference,
    )


def planned(reloaded: Reloaded, comparison: Comparison, callers: Callers) -> Planned:
    """Return the plan."""
    return Planned(
        reloaded=reloaded,
        routes=comparison.routes,
        upstreams=comparison.upstreams,
        limits=comparison.limits,
        anyone=comparison.anyone,
        callers=callers,
    )


class Planner:
    """Plans for a running gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def plan(self, settled: model.Config, reloaded: Reloaded, first: int) -> Planned:
        """Say what taking `settled` would do; `reloaded` is what a check of it said. Raises `StoreUnavailable`."""
        gateway = self._gateway
        comparison = await beside(Comparison, gateway.config, settled)
        callers = await survey(comparison, gateway.store, gateway.clock.now(), first=first)
        return planned(reloaded, comparison, callers)


async def plan_between(
    before: model.Config, after: model.Config, config_path: Path, *, first: int
) -> Planned:
    """Say what a gateway that runs by `before` would do with `after`, and to the keys in its store, if there is one.

    Raises `ReloadRefused` when it would refuse it.
    """
    settled = settle(before, after)
    reloaded = Reloaded(generation=0, changes=settled.changes, restart=settled.restart)
    comparison = Comparison(before, settled.config)
    try:
        async with stores.opened_to_read(before, config_path) as opened:
            callers = await survey(comparison, opened.store, SystemClock().now(), first=first)
    except (StoreUnavailable, CannotStart) as error:
        callers = Callers(limited={}, unseen=str(error))
    return planned(reloaded, comparison, callers)
