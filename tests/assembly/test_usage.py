"""Usage of a whole gateway: exact against the access log, told by countries, removed in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.assembly.errors import CannotStart
from gateway.assembly.gateway import Gateway, opened
from gateway.config.reloading import ReloadRefused
from gateway.domain.blueprint import KeyWish
from gateway.domain.usage import FacetKind, FacetQuery, Interval, UsageQuery
from tests.assembly.serving import add_tenant, ask
from tests.config.sample import loaded, write
from tests.key_samples import ORDER, an_order
from tests.telemetry.test_geoip import country
from tests.telemetry.test_geoip import write as write_database
from tests.usage_lines import assert_equal, of_lines, of_rows
from tests.wire import read_request, until

GROUPS = ("time", "key", "tenant", "route", "billable")
EVER: dict[str, Any] = {"since": 0.0, "until": 1e10}


class Upstream:
    """Answers by the path: well, badly, too late, or not to the end."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await read_request(reader)
                kind = request.line.split(" ")[1].rpartition("/")[2]
                if not await getattr(self, f"_{kind}")(writer):
                    break
        writer.close()

    async def _ok(self, writer: asyncio.StreamWriter) -> bool:
        return _answer(writer, 200, b"x" * 700)

    async def _missing(self, writer: asyncio.StreamWriter) -> bool:
        return _answer(writer, 404, b"no")

    async def _broken(self, writer: asyncio.StreamWriter) -> bool:
        return _answer(writer, 500, b"oh")

    async def _late(self, _: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(5)
        return False

    async def _gone(self, _: asyncio.StreamWriter) -> bool:
        return False

    async def _nonsense(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
        return False

    async def _half(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        return False

    async def _stream(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            writer.write(b"5\r\nevent\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        return True

    async def _endless(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"5\r\nevent\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
        return False


def _answer(writer: asyncio.StreamWriter, status: int, body: bytes) -> bool:
    writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
    return True


def configuration(url: str) -> str:
    return f"""
listeners:
  public: {{bind: '127.0.0.1:0', drain_timeout: 1s}}
  metrics: {{bind: '127.0.0.1:0'}}
  admin: {{bind: 'unix:run/admin.sock'}}
client_address: {{trusted_proxies: [127.0.0.1]}}
store: {{path: keys.db, poll: 50ms}}
telemetry: {{access_log: {{path: access.log, flush: 10ms}}, per_key: top 3}}
request_log: {{path: 'off'}}
usage: {{country_header: CF-IPCountry}}
environments: {{live: {{}}, test: {{billable: false}}}}
scopes: {{atoms: ['a:read', 'b:read']}}
plans: {{tight: {{rate: {{per_hour: 1, burst: 5}}}}, wide: {{rate: {{per_minute: 100000}}, quota: {{per_month: 8}}}}}}
upstreams:
  u: {{targets: ['{url}'], timeout: {{response_headers: 200ms}}, connections_max: 200}}
routes:
  - {{name: a, match: {{methods: [GET, POST], path: '/a/{{kind}}'}}, scopes: ['a:read'], upstream: u,
      body_bytes_max: 1000}}
  - {{name: b, match: {{path: '/b/{{kind}}'}}, scopes: ['b:read'], upstream: u}}
  - {{name: open, match: {{path: '/open/{{kind}}'}}, auth: none, upstream: u}}
  - {{name: me, match: {{path: /me}}, handler: introspect}}
"""


@asynccontextmanager
async def gateway_at(folder: Path) -> AsyncIterator[Gateway]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = loaded(folder, configuration(f"http://127.0.0.1:{port}"))
    try:
        async with opened(config, folder / "config.yaml") as gateway:
            await add_tenant(gateway)
            yield gateway
    finally:
        server.close()
        await upstream.close()


async def make_key(gateway: Gateway, **values: Any) -> tuple[str, str]:
    wish = {"tenant_id": "ten_a", "name": "k", "environment": "live", "scopes": ("a:read",)}
    minted = await gateway.keyring.create_key(KeyWish(**(wish | values)), ORDER)
    return minted.record.key_id, minted.secret


async def send(address: str, raw: bytes, *, leaves: bool = False) -> None:
    """Send a request as it is; read what comes to its end, or leave in the middle of it."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            if leaves:
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(100), 0.2)
            else:
                await reader.read()
    writer.close()


def requests_of(keys: dict[str, str], random: Random) -> list[tuple[bytes, bool]]:
    """Return requests of every kind, mixed: each raw, and whether its client leaves in the middle."""
    kinds = ("ok", "missing", "broken", "late", "gone", "nonsense", "half", "stream")
    found: list[tuple[bytes, bool]] = [
        (_request(f"/{route}/{kind}", secret), False)
        for route in ("a", "b", "open")
        for kind in kinds
        for secret in ("", *keys.values())
    ]
    good = keys["good"]
    found += [(_request("/a/endless", good), True), (_request("/open/endless"), True)]
    found += [(_request("/a/ok", good, body=b"b" * n), False) for n in (1, 10, 1_000, 1_001)]
    found += [(_request("/me", secret), False) for secret in keys.values()]
    found += [
        (_request("/a/ok", good, method="PUT"), False),
        (_request("/a/%2e%2e/b", good), False),
    ]
    found += [(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False)]
    found += [(b"GET nonsense\r\n\r\n", False), (_request("/nothing"), False)]
    found += [(_request("/a/ok", "sk_live_" + "x" * 49), False) for _ in range(3)]
    found += [(_request("/a/ok", "Basic"), False), (_request("*", method="OPTIONS"), False)]
    found += [(b"GET /a/ok HTTP/1.1\r\nHost: a\r\n", True)]
    random.shuffle(found)
    return found


def _request(path: str, secret: str = "", *, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{'POST' if body else method} {path} HTTP/1.1", "Host: api.test", "Connection: close"]
    if secret:
        lines.append(f"Authorization: Bearer {secret}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def all_stored(gateway: Gateway, folder: Path, least: int) -> list[dict[str, Any]]:
    """Return the lines of the access log once all requests have ended, with their usage stored."""
    listener = gateway.here.listener
    await until(lambda: not listener.in_flight and not listener.connections)
    await gateway.recorders.flush()
    await gateway.usage.writer.write()
    lines = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
    assert len(lines) >= least
    return lines


@pytest.mark.slow
async def test_usage_is_exact_against_the_access_log_hp_27(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        keys: dict[str, str] = {}
        _, keys["good"] = await make_key(gateway)
        _, keys["both"] = await make_key(gateway, scopes=("a:read", "b:read"))
        _, keys["free"] = await make_key(gateway, environment="test")
        _, keys["tight"] = await make_key(gateway, plan="tight")
        _, keys["few"] = await make_key(gateway, plan="wide")
        revoked, keys["revoked"] = await make_key(gateway)
        await gateway.keyring.revoke_key(revoked, an_order("leaked"))
        crowd = requests_of(keys, Random(1))
        limit = asyncio.Semaphore(20)

        async def one(raw: bytes, leaves: bool) -> None:
            async with limit:
                await send(gateway.public_address, raw, leaves=leaves)

        async with asyncio.TaskGroup() as tasks:
            for raw, leaves in crowd:
                tasks.create_task(one(raw, leaves))
        # A client that sends half a head and leaves has made no request.
        lines = await all_stored(gateway, tmp_path, len(crowd) - 1)
        reasons = {line["reason"] for line in lines}
        assert len(reasons) >= 14, reasons
        assert {line["ended"] for line in lines} >= {"complete", "client_gone", "upstream_broke"}
        for border in (0.0, 1e10):
            while not await gateway.usage.kept.store.roll(border):
                pass
            for interval in Interval:
                query = UsageQuery(**EVER, interval=interval, group_by=GROUPS)
                rows = await gateway.usage.kept.store.cells(query)
                assert_equal(of_rows(rows), of_lines(lines, interval))
        text = gateway.recorders.metrics.render()[0].decode()
        shown = [
            line for line in text.splitlines() if line.startswith("tollhouse_key_requests_total{")
        ]
        assert len(shown) == 4
        counted = sum(float(line.split()[-1]) for line in shown)
        assert counted == sum(line["key_id"] is not None for line in lines)


async def test_the_last_second_is_written_when_the_gateway_stops(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        _, secret = await make_key(gateway)
        for _ in range(7):
            assert (await ask(gateway.public_address, "/a/ok", secret)).status == 200
    async with gateway_at_again(tmp_path) as gateway:
        [row] = await gateway.usage.kept.store.cells(UsageQuery(**EVER))
        assert row.measures.requests == 7


@asynccontextmanager
async def gateway_at_again(folder: Path) -> AsyncIterator[Gateway]:
    config = loaded(folder, configuration("http://127.0.0.1:9"))
    async with opened(config, folder / "config.yaml") as gateway:
        yield gateway


async def countries(gateway: Gateway) -> dict[str, int]:
    await gateway.usage.writer.write()
    rows = await gateway.usage.kept.store.facets(FacetQuery(kind=FacetKind.COUNTRY, **EVER))
    return {row.value: row.requests for row in rows}


async def test_a_trusted_proxy_tells_the_country_hp_27(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        _, secret = await make_key(gateway)
        from_there = ("X-Forwarded-For: 198.51.100.7", "CF-IPCountry: NZ")
        await ask(gateway.public_address, "/a/ok", secret, *from_there)
        await ask(gateway.public_address, "/a/ok", secret)
        assert await countries(gateway) == {"NZ": 1, "": 1}
        text = (tmp_path / "config.yaml").read_text()
        write(tmp_path, text.replace("trusted_proxies: [127.0.0.1]", "trusted_proxies: [10.9.9.9]"))
        await gateway.reloads.reload("test")
        await ask(gateway.public_address, "/a/ok", secret, "User-Agent: other", *from_there)
        assert await countries(gateway) == {"NZ": 1, "": 2}


async def test_a_database_tells_the_country_and_is_followed_hp_27(tmp_path: Path) -> None:
    path = write_database(tmp_path / "geo.mmdb", {"198.51.100.0/24": country("FR")})
    async with gateway_at(tmp_path) as gateway:
        before = (tmp_path / "config.yaml").read_text()
        text = before.replace("country_header: CF-IPCountry", "geoip_database: geo.mmdb")
        write(tmp_path, text)
        await gateway.reloads.reload("test")
        from_there = ("X-Forwarded-For: 198.51.100.7", "CF-IPCountry: NZ")
        await ask(gateway.public_address, "/me", "", *from_there)
        assert await countries(gateway) == {"FR": 1}
        write_database(path, {"198.51.100.0/24": country("DE")})
        await gateway.reloads.reload("test")
        await ask(gateway.public_address, "/me", "", *from_there)
        assert await countries(gateway) == {"FR": 1, "DE": 1}
        path.write_bytes(b"nothing")
        with pytest.raises(ReloadRefused):
            await gateway.reloads.reload("test")
        write(tmp_path, before)
        await gateway.reloads.reload("test")
        await ask(gateway.public_address, "/me", "", *from_there)
        assert await countries(gateway) == {"FR": 1, "DE": 1, "NZ": 1}


async def test_usage_is_billable_by_environment_jh_7(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        for environment, count in (("live", 2), ("test", 3)):
            _, secret = await make_key(gateway, environment=environment)
            for _ in range(count):
                await ask(gateway.public_address, "/a/ok", secret)
        await gateway.usage.writer.write()
        query = UsageQuery(**EVER, group_by=("billable", "environment"))
        rows = await gateway.usage.kept.store.cells(query)
        told = [(row.is_billable, row.environment, row.measures.requests) for row in rows]
        assert told == [(False, "test", 3), (True, "live", 2)]


async def test_requests_of_browsers_are_noticed_hp_19(tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as gateway:
        _, secret = await make_key(gateway)
        for fields in (("Origin: https://app.test",), ("Sec-Fetch-Site: cross-site",), ()):
            await ask(gateway.public_address, "/a/ok", secret, *fields)
        await gateway.usage.writer.write()
        [row] = await gateway.usage.kept.store.cells(UsageQuery(**EVER))
        assert (row.measures.requests, row.measures.from_browser) == (3, 2)


def pretend(folder: Path) -> Path:
    """Write a file that has the mark of a database and is none."""
    path = folder / "geo.mmdb"
    path.write_bytes(b"\xab\xcd\xefMaxMind.com nonsense")
    return path


async def test_a_database_that_cannot_be_read_is_named_at_the_start(tmp_path: Path) -> None:
    pretend(tmp_path)
    text = configuration("http://127.0.0.1:9")
    config = loaded(
        tmp_path, text.replace("country_header: CF-IPCountry", "geoip_database: geo.mmdb")
    )
    with pytest.raises(CannotStart, match=r"geo\.mmdb"):
        async with opened(config, tmp_path / "config.yaml"):
            pass


async def test_a_database_that_breaks_while_it_is_reloaded_leaves_the_former_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_database(tmp_path / "first.mmdb", {"198.51.100.0/24": country("FR")})
    pretend(tmp_path)
    async with gateway_at(tmp_path) as gateway:
        before = (tmp_path / "config.yaml").read_text()
        for name in ("first.mmdb", "geo.mmdb"):
            text = before.replace("country_header: CF-IPCountry", f"geoip_database: {name}")
            write(tmp_path, text)
            await gateway.reloads.reload("test")
        assert "countries are told as before" in caplog.text
        await ask(gateway.public_address, "/me", "", "X-Forwarded-For: 198.51.100.7")
        assert await countries(gateway) == {"FR": 1}
