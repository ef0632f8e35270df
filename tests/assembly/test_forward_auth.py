"""The listener for proxies that ask, in a whole gateway: who may ask, what is answered, and what a reload changes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.assembly.gateway import Gateway
from gateway.domain.closing import Refused
from gateway.keyring.door import Minted
from tests.assembly.serving import EDGE, Response, add_tenant, mint
from tests.assembly.test_reload import reload, serving
from tests.certificates import authority, issue
from tests.wire import until

ROUTES = (
    "plans: {narrow: {rate: {per_hour: 1}, owners: [route]}}\n"
    "upstreams: {u: {targets: ['http://127.0.0.1:9']}}\n"
    "routes:\n"
    "  - {name: jobs, match: {path: /jobs}, upstream: u}\n"
    "  - {name: open, match: {path: /open}, auth: none, upstream: u}\n"
    "  - {name: narrow, match: {path: /narrow}, auth: none, plan: narrow, upstream: u}\n"
    "  - {name: here, match: {path: /here}, auth: none, upstream: u, ip_allowlist: [192.0.2.0/24]}\n"
)
CLIENT = "X-Forwarded-For: 192.0.2.9"


def edge(bind: str = "127.0.0.1:0", more: str = "") -> str:
    return EDGE.replace("listeners:\n", f"listeners:\n  forward_auth: {{bind: '{bind}'{more}}}\n")


@asynccontextmanager
async def asked(folder: Path, bind: str = "127.0.0.1:0") -> AsyncIterator[tuple[Gateway, Minted]]:
    async with serving(folder, ROUTES, edge(bind)) as gateway:
        await add_tenant(gateway)
        yield gateway, await mint(gateway.keyring)


async def question(
    address: str,
    target: str,
    *fields: str,
    method: str = "GET",
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Ask on a connection of its own; return what comes until it is closed."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    lines = [f"{method} {target} HTTP/1.1", "Host: api.test", "Connection: close", *fields]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    async with asyncio.timeout(10):
        raw = await reader.read()
    writer.close()
    return Response(raw)


def about(target: str, method: str = "GET", secret: str = "", client: str = CLIENT) -> list[str]:
    """Return the fields with which Traefik and Caddy ask about a request."""
    fields = [f"X-Forwarded-Method: {method}", f"X-Forwarded-Uri: {target}", client]
    return [*fields, f"Authorization: Bearer {secret}"] if secret else fields


def about_nginx(target: str, method: str = "GET") -> list[str]:
    return [f"X-Original-Method: {method}", f"X-Original-URI: {target}", CLIENT]


async def test_nobody_may_ask_by_default(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES) as gateway:
        assert gateway.forward_auth_address == ""
        with pytest.raises(RuntimeError, match="no proxy may ask"):
            await gateway.here.be_asked(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:run/auth.sock"])
async def test_a_proxy_on_this_machine_may_ask_and_is_told_who_the_caller_is(
    tmp_path: Path, bind: str
) -> None:
    async with asked(tmp_path, bind) as (gateway, minted):
        answer = await question(
            gateway.forward_auth_address, "/traefik", *about("/jobs", secret=minted.secret)
        )
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields["x-gateway-key-id"] == minted.record.key_id
    assert answer.fields["x-gateway-key-tenant"] == ""


async def test_who_may_connect_to_the_socket_is_a_group_and_not_everybody(tmp_path: Path) -> None:
    async with asked(tmp_path, "unix:run/auth.sock"):
        assert (tmp_path / "run" / "auth.sock").stat().st_mode & 0o777 == 0o660


async def test_address_rules_are_about_the_client_of_the_proxy(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        address = gateway.forward_auth_address
        assert (await question(address, "/caddy", *about("/here"))).status == 200
        elsewhere = "X-Forwarded-For: 192.0.2.9, 198.51.100.1"
        refused = await question(address, "/caddy", *about("/here", client=elsewhere))
        assert refused.status == 403


@pytest.mark.parametrize("client", ["X-Nothing: 1", "X-Forwarded-For:", "X-Forwarded-For: unknown"])
async def test_a_proxy_that_does_not_say_who_its_client_is_gets_no_answer_about_it(
    tmp_path: Path, client: str
) -> None:
    async with asked(tmp_path) as (gateway, _):
        answer = await question(
            gateway.forward_auth_address, "/caddy", *about("/open", client=client)
        )
        assert answer.status == 400
        assert answer.json["code"] == "invalid_request"


async def test_a_question_about_nothing_gets_no_answer_about_it(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        for target in ("/", "/open", "/traefik"):
            assert (await question(gateway.forward_auth_address, target, CLIENT)).status == 400


async def test_a_path_that_could_be_read_in_two_ways_is_refused_as_it_is_to_clients(
    tmp_path: Path,
) -> None:
    async with asked(tmp_path) as (gateway, _):
        for target in ("/x/..%2fopen", "/%2e%2e/open", "//open", "/open;a"):
            told = await question(gateway.forward_auth_address, "/caddy", *about(target))
            plain = await question(gateway.public_address, target)
            assert (told.status, told.json["code"]) == (plain.status, plain.json["code"])


@pytest.mark.parametrize(
    ("target", "status", "meant"),
    [
        ("/open", 200, "200"),
        ("/jobs", 401, "401"),
        ("/nowhere", 403, "404"),
        ("/here2", 403, "404"),
    ],
)
async def test_nginx_is_told_in_the_three_words_that_it_knows(
    tmp_path: Path, target: str, status: int, meant: str
) -> None:
    async with asked(tmp_path) as (gateway, _):
        answer = await question(gateway.forward_auth_address, "/nginx", *about_nginx(target))
    assert (answer.status, answer.fields["x-gateway-status"]) == (status, meant)
    assert (answer.fields["content-length"], answer.body) == ("0", b"")


async def test_nginx_is_told_of_a_limit_with_the_time_to_wait(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        address = gateway.forward_auth_address
        assert (await question(address, "/nginx", *about_nginx("/narrow"))).status == 200
        answer = await question(address, "/nginx", *about_nginx("/narrow"))
    assert (answer.status, answer.fields["x-gateway-status"]) == (403, "429")
    assert int(answer.fields["retry-after"]) > 0
    assert "ratelimit" in answer.fields


async def test_an_answer_has_the_length_that_it_says_whatever_the_methods(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        address = gateway.forward_auth_address
        got_about_head = await question(address, "/caddy", *about("/jobs", "HEAD"))
        assert (got_about_head.status, got_about_head.fields["content-length"]) == (401, "0")
        head_about_got = await question(address, "/caddy", *about("/jobs"), method="HEAD")
        assert int(head_about_got.fields["content-length"]) > 0
        assert (got_about_head.body, head_about_got.body) == (b"", b"")
        plain = await question(address, "/caddy", *about("/jobs"))
        assert int(plain.fields["content-length"]) == len(plain.body) > 0


async def test_a_body_that_comes_with_a_question_is_read_past(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        host, _, port = gateway.forward_auth_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        fields = "\r\n".join(("Host: x", *about("/open"), "Content-Length: 3"))
        for _ in range(2):
            writer.write(f"POST /caddy HTTP/1.1\r\n{fields}\r\n\r\nabc".encode())
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_what_is_asked_counts_in_the_log_and_the_metrics_as_asked(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, minted):
        await question(
            gateway.forward_auth_address, "/caddy", *about("/jobs", secret=minted.secret)
        )
        await until(lambda: gateway.here.listener.connections == 0)
        text = gateway.recorders.metrics.render("")[0].decode()
    assert (
        'tollhouse_requests_total{code="200",method="GET",route="jobs",source="forward_auth"} 1.0'
        in text
    )


async def test_both_listeners_are_counted_as_one(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        host, _, port = gateway.forward_auth_address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        await until(lambda: gateway.here.load().connections == 1)
        assert "tollhouse_connections 1.0" in gateway.recorders.metrics.render("")[0].decode()
        writer.close()


async def test_a_reload_counts_from_the_next_question_on(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        address = gateway.forward_auth_address
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))

        async def status() -> bytes:
            fields = "\r\n".join(("Host: x", *about("/open")))
            writer.write(
                f"GET /nginx HTTP/1.1\r\n{fields}\r\n\r\n".replace("nginx", "caddy").encode()
            )
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            return head.split(b" ")[1]

        assert await status() == b"200"
        without = ROUTES.replace("{path: /open}", "{path: /closed}")
        await reload(gateway, without, edge())
        assert await status() == b"404"
        writer.close()


async def test_a_stop_ends_connections_of_proxies_too(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        host, _, port = gateway.forward_auth_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            "\r\n".join(("GET /caddy HTTP/1.1", "Host: x", *about("/open"), "", "")).encode()
        )
        await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_proxies_may_ask_over_tls(tmp_path: Path) -> None:
    ca = authority()
    issued = issue(tmp_path, ca, "127.0.0.1")
    more = f", tls: {{certificates: [{{certificate: {issued.certificate}, key: {issued.key}}}]}}"
    async with serving(tmp_path, ROUTES, edge(more=more)) as gateway:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        answer = await question(
            gateway.forward_auth_address, "/caddy", *about("/open"), tls=context
        )
    assert answer.status == 200


async def test_a_stranger_is_turned_away_before_it_can_ask(tmp_path: Path) -> None:
    async with asked(tmp_path) as (gateway, _):
        assert gateway.here.forward_auth is not None
        listener = gateway.here.forward_auth.listener
        rules = listener._addresses
        listener.follow(listener.settings, gateway.here.edition.draft.addresses)  # trusts nobody
        host, _, port = gateway.forward_auth_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert listener.census.refused[Refused.STRANGER] == 1
        listener.follow(listener.settings, rules)
