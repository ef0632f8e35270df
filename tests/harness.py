"""A whole data plane on loopback sockets: the real listener, pipeline and upstreams over stores in memory.

Used by the tests of connections, exchanges and upstreams. Nothing is patched; what is slow in production (deadlines,
drain) is configured to be fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from gateway.control.clock import SystemClock
from gateway.control.deadlines import DeadlineWheel
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.render import Dialect
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.limits import Claim
from gateway.domain.networks import Allowlist
from gateway.domain.outcome import Outcome
from gateway.domain.passage import Border
from gateway.domain.rate_headers import RateHeaders
from gateway.domain.routes import Route, RouteTable
from gateway.domain.tenants import Tenant
from gateway.domain.timeouts import Timeouts
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.throttle import AddressThrottle
from gateway.listeners.peer import AddressRules
from gateway.listeners.public import ListenerSettings, PublicListener
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.generation import Generation, Voice
from gateway.pipeline.handle import handle
from gateway.ports import Upstream
from gateway.stores.cached import CachedKeys
from gateway.stores.memory import MemoryStore
from gateway.upstreams.service import Dialer, Service
from gateway.upstreams.target import Address, Target

FORMAT = KeyFormat("tollhouse", "sk", ("live", "test"))
TOKEN = FORMAT.mint("live", "A" * 43)
OTHER_TOKEN = FORMAT.mint("live", "B" * 43)
PEPPERS = Peppers("p1", {"p1": b"p" * 32})

Backend = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Recorded:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def record(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@dataclass
class Plane:
    """What a test holds."""

    port: int
    listener: PublicListener
    generation: Generation
    service: Service
    store: MemoryStore
    keys: CachedKeys
    recorded: Recorded
    limiter: MemoryLimiter
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        self.clients.append(writer)
        return reader, writer

    async def ask(self, raw: bytes) -> bytes:
        """Send raw bytes on a new connection and return all that comes until it is closed or quiet."""
        reader, writer = await self.connect()
        writer.write(raw)
        received = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while data := await reader.read(65536):
                    received += data
        writer.close()
        return received

    async def outcome(self, index: int = -1) -> Outcome:
        """Return a recorded outcome as soon as there is one."""
        async with asyncio.timeout(3):
            while len(self.recorded.outcomes) <= (index if index >= 0 else 0):
                await asyncio.sleep(0.001)
        return self.recorded.outcomes[index]


def request(
    target: str = "/v1/things",
    *,
    method: str = "GET",
    token: str | None = TOKEN,
    fields: Iterable[str] = (),
    body: bytes = b"",
    close: bool = True,
) -> bytes:
    """Return the bytes of one request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: api.test", *fields]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def routes() -> list[Route]:
    return [
        Route(name="things", pattern="/v1", kind="prefix", scopes=("things:read",), upstream="up"),
        Route(name="open", pattern="/open", kind="prefix", needs_key=False, upstream="up"),
        Route(name="small", pattern="/small", kind="prefix", upstream="up", body_bytes_max=10),
        Route(name="me", pattern="/me", handler="introspect", methods=frozenset({"GET"})),
        Route(
            name="local",
            pattern="/local",
            kind="prefix",
            upstream="up",
            allowlist=Allowlist(["192.0.2.0/24"]),
        ),
    ]


@asynccontextmanager
async def plane(
    backend: Backend,
    *,
    settings: ListenerSettings | None = None,
    timeouts: Timeouts | None = None,
    table: list[Route] | None = None,
    claims: tuple[Claim, ...] = (),
    errors: str = "problem",
    rate_headers: tuple[str, ...] = ("draft",),
    connections_max: int = 64,
    trusted: Iterable[str] = (),
    failures: int = 1000,
) -> AsyncIterator[Plane]:
    """Run a data plane in front of `backend`."""
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    deadlines = DeadlineWheel(loop, period_seconds=0.05)
    deadlines.start()
    server = await asyncio.start_server(_guarded(backend), "127.0.0.1", 0, limit=2**20)
    dialer = Dialer()
    target = Target(
        Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1]),
        loop=loop,
        deadlines=deadlines,
        dial=dialer,
        timeouts=timeouts or Timeouts(),
        connections_max=connections_max,
        idle_connections_max=connections_max,
        idle_lifetime_seconds=30,
    )
    service = Service("up", [target], dial=dialer, host=b"", base_path=b"")
    store, keys = await _keys(clock, claims)
    recorded, limiter = Recorded(), MemoryLimiter(clock)
    throttle = AddressThrottle(clock, failures, 60)
    upstreams: dict[tuple[str, str], Upstream] = {("up", ""): service, ("up", "live"): service}
    headers = RateHeaders(rate_headers)
    dialect = Dialect(DIALECTS[errors])
    voice = Voice(dialect=dialect, rate_headers=headers, overwritten=headers.names)
    table = routes() if table is None else table
    generation = Generation(
        number=1,
        table=RouteTable(table),
        authenticator=Authenticator(
            formats=KeyFormats([FORMAT]), peppers=PEPPERS, keys=keys, throttle=throttle, clock=clock
        ),
        barred=frozenset(),
        limiter=limiter,
        throttle=throttle,
        border=Border(
            identity_names=[b"X-Gateway-Key-Id"],
            identity_prefix=b"x-gateway-",
            pseudonym=b"tollhouse",
        ),
        upstreams=upstreams,
        voices={"": voice} | {route.name: voice for route in table},
        problem=Dialect(DIALECTS["problem"]),
        introspect=lambda key, grant, name: b'{"key":"%b"}' % key.record.key_id.encode(),
        recorder=recorded,
        clock=clock,
    )
    resolver = ClientAddressResolver(Allowlist(trusted) if trusted else None)
    listener = PublicListener(
        settings or ListenerSettings(),
        loop=loop,
        deadlines=deadlines,
        addresses=AddressRules(resolver=resolver),
        tell=lambda exchange: handle(exchange, generation),
        random=Random(1),
    )
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    await listener.serve(sock, 128)
    held = Plane(
        sock.getsockname()[1], listener, generation, service, store, keys, recorded, limiter
    )
    try:
        yield held
    finally:
        for client in held.clients:
            client.close()
        await listener.drain(0.2)
        service.close()
        await dialer.close()
        await keys.close()
        deadlines.stop()
        server.close()
        await server.wait_closed()


def _guarded(backend: Backend) -> Backend:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await backend(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return serve


async def _keys(clock: SystemClock, claims: tuple[Claim, ...]) -> tuple[MemoryStore, CachedKeys]:
    store = MemoryStore()
    await store.save_tenant(Tenant(tenant_id="ten_a", name="A"), expected_revision=0)
    record = KeyRecord(
        key_id="key_a",
        lineage_id="lin_a",
        tenant_id="ten_a",
        name="a",
        format="tollhouse",
        environment="live",
        digest=PEPPERS.digest(TOKEN.encode()),
        pepper_id="p1",
        display="sk_live_AAAA",
        scopes=("things:read",),
    )
    await store.save_key(record, expected_revision=0)
    other = replace(
        record, key_id="key_b", digest=PEPPERS.digest(OTHER_TOKEN.encode()), scopes=()
    )
    await store.save_key(other, expected_revision=0)

    def bind(record: KeyRecord, tenant: Tenant) -> BoundKey:
        return BoundKey(
            record=record,
            tenant=tenant,
            scopes=frozenset(record.scopes),
            allowlists=(),
            claims=claims,
            identity=b"X-Gateway-Key-Id: %b\r\n" % record.key_id.encode(),
        )

    keys = CachedKeys(store, PEPPERS, bind, clock, size_max=100, negative_ttl_seconds=5)
    return store, keys


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Read one message head, as a backend does."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(response: bytes, *, seen: list[bytes] | None = None) -> Backend:
    """Return a backend that reads a head and answers with fixed bytes, on every request of a connection."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if seen is not None:
                seen.append(head)
            writer.write(response)
            await writer.drain()

    return backend


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"
