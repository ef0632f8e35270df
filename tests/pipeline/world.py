"""A gateway without sockets: the real steps over memory adapters and a clock that stands.

Every port writes its name into `World.touched` when it is asked, so that a test can say in which order a request was
judged and what a refusal kept from being asked at all.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from gateway import eager
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.render import Dialect
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.limits import Claim, Grant
from gateway.domain.networks import Allowlist
from gateway.domain.outcome import Outcome
from gateway.domain.passage import Border
from gateway.domain.rate_headers import RateHeaders
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route, RouteTable
from gateway.domain.shadow import shadow_rules
from gateway.domain.tenants import Tenant
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.throttle import AddressThrottle
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.generation import Generation, Voice
from gateway.pipeline.handle import handle
from gateway.ports import Limiter, StoreUnavailable
from gateway.stores.cached import CachedKeys
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock
from tests.pipeline.fakes import Answer, FakeExchange, FakeUpstream
from tests.pipeline.samples import FORMATS, ME, OPEN, PEPPERS, THINGS, TOKEN

HSTS = b"Strict-Transport-Security: max-age=60\r\n"


class SpiedStore(MemoryStore):
    """A store that can be down."""

    def __init__(self, touched: list[str]) -> None:
        super().__init__()
        self.is_down = False
        self._touched = touched

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        self._touched.append("store")
        if self.is_down:
            raise StoreUnavailable("/var/lib/keys.db: disk I/O error")
        return await super().find(digests)


class SpiedKeys(CachedKeys):
    """Says when the cache is asked."""

    touched: list[str]

    def peek(self, digest: bytes) -> Any:
        self.touched.append("cache")
        return super().peek(digest)


class SpiedThrottle(AddressThrottle):
    """Says when the throttle is asked and what it was told."""

    touched: list[str]

    def retry_after(self, address: str) -> int:
        self.touched.append("throttle")
        return super().retry_after(address)

    def failed(self, address: str) -> int:
        self.touched.append("throttle")
        wait = super().failed(address)
        if not wait:
            self.touched.append(f"failed {address}")
        return wait


class SpiedLimiter(MemoryLimiter):
    """Says when limits are drawn, and keeps count of what was given back."""

    def __init__(self, clock: FakeClock, touched: list[str]) -> None:
        super().__init__(clock)
        self.released: list[Grant] = []
        self._touched = touched

    def acquire(self, claims: Sequence[Claim]) -> Grant:
        self._touched.append("limits")
        return super().acquire(claims)

    def release(self, grant: Grant) -> None:
        self.released.append(grant)
        super().release(grant)


class RemoteLimiter:
    """Implements `ports.Limiter` as one on another host would: every answer is awaited."""

    def __init__(self, inner: MemoryLimiter) -> None:
        self.inner = inner
        self.pending: list[tuple[Future[Grant], Sequence[Claim]]] = []

    def acquire(self, claims: Sequence[Claim]) -> Awaitable[Grant]:
        future: Future[Grant] = asyncio.get_running_loop().create_future()
        self.pending.append((future, claims))
        return future

    def look(self, claims: Sequence[Claim]) -> Grant | None:
        return None

    def release(self, grant: Grant) -> None:
        self.inner.release(grant)

    async def arrive(self) -> None:
        """Let every pending answer arrive."""
        for future, claims in self.pending:
            future.set_result(self.inner.acquire(claims))
        self.pending = []
        await turn()


class Recorded:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def record(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@cache
def _dialect(name: str) -> Dialect:
    return Dialect(DIALECTS[name])


async def turn(times: int = 20) -> None:
    """Let the loop run what is ready."""
    for _ in range(times):
        await asyncio.sleep(0)


class World:
    """A running generation and everything around it."""

    def __init__(
        self,
        *routes: Route,
        errors: str = "problem",
        rate_headers: tuple[str, ...] = ("draft",),
        failures: int = 3,
        barred: frozenset[tuple[str, str]] = frozenset(),
        claims: tuple[Claim, ...] = (),
        shadow_plans: tuple[tuple[Claim, ...], ...] = (),
        problem: bool = True,
    ) -> None:
        self.clock = FakeClock()
        self.touched: list[str] = []
        self.claims = claims
        self.shadow_plans = shadow_plans
        self.shadowed: list[Outcome] = []
        self.store = SpiedStore(self.touched)
        self.limiter = SpiedLimiter(self.clock, self.touched)
        self.throttle = SpiedThrottle(self.clock, failures, 60)
        self.throttle.touched = self.touched
        self.keys = SpiedKeys(
            self.store, PEPPERS, self._bind, self.clock, size_max=100, negative_ttl_seconds=5
        )
        self.keys.touched = self.touched
        self.upstream = FakeUpstream("up", self.touched)
        self.sandbox = FakeUpstream("sandbox", self.touched)
        self.recorded = Recorded()
        self.crashes: list[BaseException] = []
        table = routes or (THINGS, OPEN, ME)
        self.authenticator = Authenticator(
            formats=FORMATS,
            peppers=PEPPERS,
            keys=self.keys,
            throttle=self.throttle,
            clock=self.clock,
        )
        headers = RateHeaders(rate_headers)
        voice = Voice(dialect=_dialect(errors), rate_headers=headers, overwritten=headers.names)
        self.generation = Generation(
            number=1,
            table=RouteTable(table),
            authenticator=self.authenticator,
            barred=barred,
            limiter=self.limiter,
            throttle=self.throttle,
            border=Border(
                identity_names=[b"X-Gateway-Key-Id"],
                identity_prefix=b"X-Gateway-",
                pseudonym=b"tollhouse",
            ),
            upstreams={
                ("up", ""): self.upstream,
                ("up", "live"): self.upstream,
                ("up", "test"): self.sandbox,
            },
            voices={"": voice} | {route.name: voice for route in table},
            problem=_dialect("problem") if problem else None,
            introspect=lambda key, _, name: f'{{"{name}":"{key.record.key_id}"}}'.encode(),
            recorder=self.recorded,
            clock=self.clock,
            shadowed=self.shadowed.append,
        )

    def _bind(self, record: KeyRecord, tenant: Tenant) -> BoundKey:
        lists = [
            (record.ip_allowlist_mode, Allowlist(record.ip_allowlist, "key"), record.ip_allowlist),
            (
                tenant.ip_allowlist_mode,
                Allowlist(tenant.enforced_allowlist, "tenant"),
                tenant.enforced_allowlist,
            ),
        ]
        by_mode = {
            mode: tuple(made for its, made, entries in lists if entries and its == mode)
            for mode in ("enforce", "shadow")
        }
        return BoundKey(
            record=record,
            tenant=tenant,
            scopes=frozenset(record.scopes),
            allowlists=by_mode["enforce"],
            claims=self.claims,
            shadow=shadow_rules(allowlists=by_mode["shadow"], plans=self.shadow_plans),
            identity=b"X-Gateway-Key-Id: %b\r\n" % record.key_id.encode(),
        )

    def insist_on_tls(self) -> World:
        """Put a line on every answer, as a listener with TLS does, which an upstream may not set."""
        name = frozenset({b"strict-transport-security"})
        voices = self.generation.voices
        self.change(
            voices={
                route: replace(voice, lines=HSTS, overwritten=voice.overwritten | name)
                for route, voice in voices.items()
            }
        )
        return self

    def change(self, **parts: Any) -> None:
        """Run on with other parts."""
        self.generation = replace(self.generation, **parts)

    def use(self, limiter: Limiter) -> None:
        self.change(limiter=limiter)

    async def add_key(
        self,
        token: str = TOKEN,
        *,
        tenant: Tenant | None = None,
        is_cached: bool = True,
        **changes: Any,
    ) -> KeyRecord:
        """Store a key for `token`; a cached one was used before."""
        await self.store.save_tenant(tenant or Tenant(tenant_id="ten_a", name="A"))
        values: dict[str, Any] = {
            "key_id": "key_a",
            "lineage_id": "lin_a",
            "tenant_id": "ten_a",
            "name": "a",
            "format": "tollhouse",
            "environment": "live",
            "digest": PEPPERS.digest(token.encode()),
            "pepper_id": "p1",
            "display": "sk_live_AAAA…",
            "scopes": ("things:read",),
        }
        record = await self.store.save_key(KeyRecord(**(values | changes)))
        if is_cached:
            await self.keys.find(PEPPERS.digests(token.encode()))
        self.touched.clear()
        return record

    async def forget(self) -> None:
        """Empty the cache, as a restart does."""
        self.keys.invalidate_all()

    def begin(self, exchange: FakeExchange) -> FakeExchange:
        """Tell the story of a request as far as it goes without waiting."""
        eager.start(handle(exchange, self.generation), self.crashes.append)
        return exchange

    async def tell(self, asked: FakeExchange | RequestHead) -> FakeExchange:
        """Tell the story of a request to its end."""
        exchange = asked if isinstance(asked, FakeExchange) else FakeExchange(asked)
        told = len(self.recorded.outcomes) + 1
        self.begin(exchange)
        for _ in range(100):
            if len(self.recorded.outcomes) >= told or self.crashes:
                break
            await asyncio.sleep(0)
        assert not self.crashes, self.crashes
        assert len(self.recorded.outcomes) == told
        return exchange

    async def ask(self, asked: FakeExchange | RequestHead) -> Answer:
        """Return what the client was answered."""
        return (await self.tell(asked)).response

    @property
    def outcome(self) -> Outcome:
        """The outcome of the last request."""
        return self.recorded.outcomes[-1]
