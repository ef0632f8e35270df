"""A whole data plane on loopback sockets: the real listener, pipeline and upstreams over stores in memory.

Used by the tests of connections, exchanges and upstreams. Nothing is patched; what is slow in production (deadlines,
drain) is configured to be fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

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
from gateway.listeners.certificates import Terms
from gateway.listeners.peer import AddressRules
from gateway.listeners.public import ListenerSettings, PublicListener
from gateway.listeners.tls import TlsPort
from gateway.outbox import Outbox
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.generation import Generation, Voice
from gateway.pipeline.handle import handle
from gateway.ports import Upstream
from gateway.stores.cached import CachedKeys
from gateway.stores.memory import MemoryStore
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.health import Health
from gateway.upstreams.service import Service
from gateway.upstreams.settings import Settings
from gateway.upstreams.target import Address, Target
from tests.raw_tls import RawTls
from tests.wire import Answer, Backend, Client, until
from tests.witnesses import Complaints, Recorded, complaints_of

FORMAT = KeyFormat("tollhouse", "sk", ("live", "test"))
TOKEN = FORMAT.mint("live", "A" * 43)
OTHER_TOKEN = FORMAT.mint("live", "B" * 43)
PEPPERS = Peppers("p1", {"p1": b"p" * 32})


@dataclass
class Tls:
    """What both ends of the connections to backends need, and the name that the certificate must hold."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    server_name: str = "backend.test"


@dataclass
class Plane:
    """What a test holds."""

    address: tuple[str, int] | str
    listener: PublicListener
    generation: Generation
    service: Service
    store: MemoryStore
    keys: CachedKeys
    recorded: Recorded
    limiter: MemoryLimiter
    dialer: Dialer
    complaints: Complaints
    seen: list[asyncio.StreamWriter]
    clients: list[Client] = field(default_factory=list)
    tls: TlsPort | None = None
    handshakes: Counter[str] = field(default_factory=Counter)

    @property
    def target(self) -> Target:
        return self.service.targets[0]

    async def client(self, context: ssl.SSLContext | None = None, host: str = "api.test") -> Client:
        """Open a connection, with TLS for `host` under `context`."""
        if isinstance(self.address, str):
            client = Client(*await asyncio.open_unix_connection(self.address, limit=2**20))
        else:
            client = Client(*await asyncio.open_connection(*self.address, limit=2**20))
        if context is not None:
            await client.writer.start_tls(context, server_hostname=host)
        self.clients.append(client)
        return client

    async def raw_tls(
        self,
        context: ssl.SSLContext,
        host: str | None = "api.test",
        session: ssl.SSLSession | None = None,
    ) -> RawTls:
        """Open a connection for a handshake that was not begun."""
        client = await self.client()
        return RawTls(client.reader, client.writer, context, host, session)

    async def send(self, raw: bytes) -> Client:
        """Open a connection and send raw bytes."""
        client = await self.client()
        client.send(raw)
        return client

    async def ask(self, raw: bytes) -> bytes:
        """Send raw bytes on a new connection and return all that comes until it is closed."""
        client = await self.send(raw)
        received = await client.until_closed()
        client.close()
        return received

    async def answer(self, raw: bytes, method: str = "GET") -> Answer:
        """Send raw bytes on a new connection and return the first response."""
        client = await self.send(raw)
        answer = await client.answer(method)
        client.close()
        return answer

    async def outcome(self) -> Outcome:
        """Return the outcome of the only request."""
        (outcome,) = await self.recorded.first(1)
        return outcome

    async def settled(self) -> None:
        """Return once no downstream connection is left and no upstream connection but idle ones."""
        await until(lambda: not self.listener.connections)
        await until(lambda: all(t.connections == t.idle_connections for t in self.service.targets))


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


def post(*fields: str, body: bytes = b"", token: str | None = TOKEN, target: str = "/v1") -> bytes:
    """Return a request that announces its body by `fields`, and the beginning of that body."""
    return request(target, method="POST", token=token, fields=fields, close=False) + body


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
    *backends: Backend,
    settings: ListenerSettings | None = None,
    timeouts: Timeouts | None = None,
    table: list[Route] | None = None,
    claims: tuple[Claim, ...] = (),
    errors: str = "problem",
    rate_headers: tuple[str, ...] = ("draft",),
    connections_max: int = 64,
    idle_lifetime_seconds: float = 30.0,
    trusted: Iterable[str] = (),
    failures: int = 1000,
    unix_path: Path | None = None,
    listen_path: Path | None = None,
    addresses: Sequence[Address] = (),
    tls: Tls | None = None,
    upstream: Settings | None = None,
    slow_start: float = 0.0,
    terms: Terms | None = None,
) -> AsyncIterator[Plane]:
    """Run a data plane in front of `backends`, each a target, and of what listens at further `addresses`.

    With `tls`, that is what the backends speak; with `terms`, the listener speaks it, too.

    A test fails if the gateway logs an error, or if anything is left open at the end.
    """
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        complaints = stack.enter_context(complaints_of(loop))
        seen: list[asyncio.StreamWriter] = []
        made = [
            await _listen(_guarded(backend, seen), unix_path, tls, stack) for backend in backends
        ]
        deadlines = DeadlineWheel(loop, period_seconds=0.05)
        deadlines.start()
        stack.callback(deadlines.stop)
        dialer = Dialer()
        chosen = replace(upstream or Settings(), timeouts=timeouts or Timeouts())

        def make(address: Address) -> Target:
            return Target(
                address,
                loop=loop,
                deadlines=deadlines,
                outbox=Outbox(loop),
                dial=dialer,
                health=Health(chosen.ejection, slow_start, loop.time()),
                timeouts=chosen.timeouts,
                connections_max=connections_max,
                idle_connections_max=connections_max,
                idle_lifetime_seconds=idle_lifetime_seconds,
            )

        service = Service(
            "up",
            dict.fromkeys((*addresses, *made), 1),
            make=make,
            settings=chosen,
            dial=dialer,
            loop=loop,
            random=Random(1).random,
        )
        store, keys = await _keys(clock, claims)
        recorded, limiter = Recorded(), MemoryLimiter(clock)
        generation = _generation(
            clock, keys, limiter, recorded, service, table, errors, rate_headers, failures
        )
        handshakes: Counter[str] = Counter()
        port = None
        if terms is not None:
            port = TlsPort(
                terms, loop=loop, deadlines=deadlines, count=lambda how: handshakes.update([how])
            )
        listener = _listener(settings, loop, deadlines, trusted, generation, port)
        sock = _bound(listen_path)
        await listener.serve(sock, 128)
        held = Plane(
            sock.getsockname(), listener, generation, service, store, keys, recorded, limiter,
            dialer, complaints, seen, tls=port, handshakes=handshakes,
        )  # fmt: skip
        try:
            yield held
        finally:
            await _stop(held)


def _bound(path: Path | None) -> socket.socket:
    if path is None:
        sock = socket.create_server(("127.0.0.1", 0))
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
    sock.setblocking(False)
    return sock


def _listener(
    settings: ListenerSettings | None,
    loop: asyncio.AbstractEventLoop,
    deadlines: DeadlineWheel,
    trusted: Iterable[str],
    generation: Generation,
    tls: TlsPort | None,
) -> PublicListener:
    resolver = ClientAddressResolver(Allowlist(trusted) if trusted else None)
    return PublicListener(
        settings or ListenerSettings(),
        loop=loop,
        deadlines=deadlines,
        outbox=Outbox(loop),
        addresses=AddressRules(resolver=resolver),
        tell=lambda exchange: handle(exchange, generation),
        random=Random(1),
        tls=tls,
    )


async def _stop(held: Plane) -> None:
    for client in held.clients:
        client.close()
    await held.listener.drain(0.5)
    held.service.close()
    await held.dialer.close()
    await held.keys.close()
    assert held.listener.connections == held.listener.in_flight == 0
    assert held.tls is None or held.tls.handshakes == 0
    targets = held.service.targets
    # A connection that was closed is gone with the loop's next turn.
    await until(lambda: all(target.connections == target.waiting == 0 for target in targets))


async def _listen(
    serve: Backend, unix_path: Path | None, tls: Tls | None, stack: contextlib.AsyncExitStack
) -> Address:
    if unix_path is not None:
        server = await asyncio.start_unix_server(serve, unix_path, limit=2**20)
        address = Address(unix_path=str(unix_path))
    else:
        context = tls.server if tls is not None else None
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20, ssl=context)
        address = Address(
            host="127.0.0.1",
            port=server.sockets[0].getsockname()[1],
            tls=tls.client if tls is not None else None,
            server_name=tls.server_name if tls is not None else "",
        )
    stack.push_async_callback(server.wait_closed)
    stack.callback(server.close)
    return address


def _generation(
    clock: SystemClock,
    keys: CachedKeys,
    limiter: MemoryLimiter,
    recorded: Recorded,
    service: Service,
    table: list[Route] | None,
    errors: str,
    rate_headers: tuple[str, ...],
    failures: int,
) -> Generation:
    upstreams: dict[tuple[str, str], Upstream] = {("up", ""): service, ("up", "live"): service}
    throttle = AddressThrottle(clock, failures, 60)
    headers = RateHeaders(rate_headers)
    voice = Voice(
        dialect=Dialect(DIALECTS[errors]), rate_headers=headers, overwritten=headers.names
    )
    table = routes() if table is None else table
    return Generation(
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


def _guarded(backend: Backend, seen: list[asyncio.StreamWriter]) -> Backend:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
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
    other = replace(record, key_id="key_b", digest=PEPPERS.digest(OTHER_TOKEN.encode()), scopes=())
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
