"""A reload of a whole gateway: what it changes at once, what it keeps, and what it refuses."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.assembly.gateway import Gateway, opened
from gateway.config.load import read
from gateway.config.reloading import ReloadRefused
from gateway.domain.routes import RouteTable
from gateway.stores.cached import CachedKeys
from tests.assembly.serving import EDGE, add_tenant, ask, mint
from tests.certificates import authority, trust
from tests.config.sample import HEAD, PEPPER, write
from tests.key_samples import ORDER, an_order
from tests.wire import Client, until

ME = "routes: [{name: me, match: {path: /me}, handler: introspect}]\n"
PLANS = "plans: {p: {rate: {per_minute: 60}}}\n"


def edge(**changes: str) -> str:
    text = EDGE
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def serving(folder: Path, text: str = ME, edge: str = EDGE) -> AsyncIterator[Gateway]:
    """Run a gateway on a file whose changes are noticed soon."""
    path = write(folder, HEAD + edge + text)
    loaded = read(path, {})
    assert loaded.config is not None, loaded.problems
    async with opened(loaded.config, path, sources=loaded.sources) as gateway:
        yield gateway


async def reload(gateway: Gateway, text: str, edge: str = EDGE, head: str = HEAD) -> list[str]:
    """Write another configuration, take it, and return what it changed."""
    write(gateway.config_path.parent, head + edge + text)
    reloaded = await gateway.reloads.reload("test")
    return [change.path for change in reloaded.changes]


@asynccontextmanager
async def backend(name: str) -> AsyncIterator[tuple[str, Backend]]:
    """Run an upstream that says its name, and whether it is called `/slow`, only when it may."""
    held = Backend(name)
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", held
    finally:
        held.may_answer.set()
        server.close()
        for writer in held.open:
            writer.close()
        await server.wait_closed()


class Backend:
    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                if b"/slow" in head.split(b"\r\n")[0]:
                    self.is_asked.set()
                    await self.may_answer.wait()
                name = self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


def routed(url: str, path: str = "/{rest...}", further: str = "") -> str:
    return (
        f"upstreams: {{u: {{targets: ['{url}']}}}}\n"
        f"routes: [{{name: all, match: {{path: '{path}'}}, auth: none, upstream: u}}]\n{further}"
    )


async def keep_alive(gateway: Gateway) -> Client:
    host, _, port = gateway.public_address.rpartition(":")
    return Client(*await asyncio.open_connection(host, int(port)))


async def get(client: Client, path: str) -> tuple[int, bytes]:
    client.send(f"GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n".encode())
    answer = await client.answer()
    return answer.status, answer.body


# ---- what changes


async def test_routes_change_for_the_next_request_of_an_open_connection(tmp_path: Path) -> None:
    async with backend("one") as (url, _), serving(tmp_path, routed(url, "/a")) as gateway:
        client = await keep_alive(gateway)
        assert await get(client, "/a") == (200, b"one")
        assert (await get(client, "/b"))[0] == 404
        assert await reload(gateway, routed(url, "/b")) == ["routes[all].match.path"]
        assert (await get(client, "/a"))[0] == 404
        assert await get(client, "/b") == (200, b"one")
        client.close()


async def test_a_request_ends_under_the_configuration_that_it_began_with(tmp_path: Path) -> None:
    async with (
        backend("old") as (old, held),
        backend("new") as (new, _),
        serving(tmp_path, routed(old)) as gateway,
    ):
        asking = asyncio.create_task(ask(gateway.public_address, "/slow"))
        await held.is_asked.wait()
        await reload(gateway, routed(new))
        assert (await ask(gateway.public_address, "/x")).body == b"new"
        assert not asking.done()
        held.may_answer.set()
        assert (await asking).body == b"old"
        await until(lambda: not held.open)


async def test_the_pool_of_an_unchanged_upstream_goes_on_and_others_are_closed(
    tmp_path: Path,
) -> None:
    text = (
        "upstreams: {{kept: {{targets: ['{0}']}}, changed: {{targets: ['{1}']{2}}}}}\n"
        "routes:\n"
        "  - {{name: k, match: {{path: /k}}, auth: none, upstream: kept}}\n"
        "  - {{name: c, match: {{path: /c}}, auth: none, upstream: changed}}\n"
    )
    async with (
        backend("k") as (kept, kept_held),
        backend("c") as (changed, changed_held),
        serving(tmp_path, text.format(kept, changed, "")) as gateway,
    ):
        client = await keep_alive(gateway)
        assert await get(client, "/k") == (200, b"k")
        assert await get(client, "/c") == (200, b"c")
        (before,) = kept_held.open
        await reload(gateway, text.format(kept, changed, ", idle_lifetime: 20s"))
        await until(lambda: not changed_held.open)
        assert await get(client, "/k") == (200, b"k")
        assert kept_held.open == {before}
        assert await get(client, "/c") == (200, b"c")
        client.close()


async def test_a_renewed_certificate_is_taken_though_no_key_of_the_configuration_changed(
    tmp_path: Path,
) -> None:
    trust(tmp_path, authority())
    text = (
        "upstreams:\n"
        "  plain: {targets: ['http://127.0.0.1:1']}\n"
        "  secure: {targets: ['https://127.0.0.1:1'], tls: {ca: ca.pem}}\n" + ME
    )
    async with serving(tmp_path, text + "reload: {poll: 50ms}\n") as gateway:
        before = dict(gateway.here.services)
        trust(tmp_path, authority("Another authority"))
        await generation_is(gateway, 2)
        assert gateway.here.services["plain"] is before["plain"]
        assert gateway.here.services["secure"] is not before["secure"]


async def test_health_checks_begin_and_end_with_their_upstream(tmp_path: Path) -> None:
    async with backend("one") as (url, held), serving(tmp_path) as gateway:
        plain = f"upstreams: {{u: {{targets: ['{url}']}}}}\n{ME}"
        health = ", health: {active: {path: /health, interval: 50ms, timeout: 50ms}}"
        checked = f"upstreams: {{u: {{targets: ['{url}']{health}}}}}\n{ME}"
        tasks = len(asyncio.all_tasks())
        for _ in range(3):
            before = held.asked
            await reload(gateway, checked)
            await until(lambda before=before: held.asked > before + 1)  # type: ignore[misc]
            await reload(gateway, plain)
            await until(lambda: len(asyncio.all_tasks()) == tasks)


async def test_an_upstream_that_left_is_cut_when_its_time_is_over(tmp_path: Path) -> None:
    async with (
        backend("old") as (old, held),
        backend("new") as (new, _),
        serving(tmp_path, routed(old)) as gateway,
    ):
        asking = asyncio.create_task(ask(gateway.public_address, "/slow"))
        await held.is_asked.wait()
        await reload(gateway, routed(new, further="reload: {drain_timeout: 50ms}\n"))
        assert (await asking).status == 503
        assert "tollhouse_config_retiring_upstreams 0.0" in await metrics_of(gateway)


async def metrics_of(gateway: Gateway) -> str:
    return (await ask(gateway.metrics_address, "/metrics")).body.decode()


async def test_every_answer_about_it_names_the_generation(tmp_path: Path) -> None:
    log = edge(**{"path: 'off'": "path: access.log"})
    async with serving(tmp_path, ME, log) as gateway:
        await ask(gateway.public_address, "/me")
        await reload(gateway, ME + PLANS, log)
        await ask(gateway.public_address, "/me")
        assert (await ask(gateway.metrics_address, "/readyz")).json["generation"] == 2
        text = await metrics_of(gateway)
        assert "tollhouse_config_generation 2.0" in text
        assert "tollhouse_config_last_reload_successful 1.0" in text
        assert 'tollhouse_config_reloads_total{result="applied"} 1.0' in text
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [json.loads(line)["generation"] for line in lines] == [1, 2]


async def test_the_access_log_moves_without_losing_a_line(tmp_path: Path) -> None:
    first = edge(**{"path: 'off'": "path: a.log"})
    async with serving(tmp_path, ME, first) as gateway:
        await ask(gateway.public_address, "/first")
        await reload(gateway, ME, edge(**{"path: 'off'": "path: b.log"}))
        await ask(gateway.public_address, "/second")
        await reload(gateway, ME)
        await ask(gateway.public_address, "/third")
    assert [json.loads(line)["target"] for line in lines_of(tmp_path / "a.log")] == ["/first"]
    assert [json.loads(line)["target"] for line in lines_of(tmp_path / "b.log")] == ["/second"]


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def test_limits_of_the_listener_count_from_the_next_request_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        client = await keep_alive(gateway)
        long = "/me?" + "x" * 2000
        assert (await get(client, long))[0] == 401
        await reload(gateway, ME, edge(**{"drain_timeout: 5s": "target_bytes_max: 1KiB"}))
        assert (await get(client, long))[0] == 414
        client.close()


async def test_trusted_proxies_count_from_the_next_request_on(tmp_path: Path) -> None:
    log = edge(**{"path: 'off'": "path: access.log"})
    async with serving(tmp_path, ME, log) as gateway:
        client = await keep_alive(gateway)
        for text in ("", "client_address: {trusted_proxies: [127.0.0.1]}\n", ""):
            await reload(gateway, ME + text, log)
            client.send(b"GET /me HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
            await client.answer()
        client.close()
    addresses = [json.loads(line)["client_address"] for line in lines_of(tmp_path / "access.log")]
    assert addresses == ["127.0.0.1", "192.0.2.1", "127.0.0.1"]


# ---- keys and limits


async def test_a_key_is_judged_by_the_new_plans_and_keeps_what_it_used(tmp_path: Path) -> None:
    plans = "plans: {{p: {{rate: {{per_hour: {0}, burst: {0}}}}}}}\n"
    async with serving(tmp_path, ME + plans.format(5)) as gateway:
        await add_tenant(gateway)
        token = (await mint(gateway.keyring, "p")).secret
        for _ in range(3):
            assert (await ask(gateway.public_address, "/me", token)).status == 200
        await reload(gateway, ME + plans.format(5) + "dialect: {realm: other}\n")
        assert (await ask(gateway.public_address, "/me", token)).status == 200  # the fourth of five
        await reload(gateway, ME + plans.format(2))
        # One is left of five, and stays one of two: a smaller limit refuses nobody twice, a larger one refills nothing.
        statuses = [(await ask(gateway.public_address, "/me", token)).status for _ in range(2)]
        assert statuses == [200, 429]
        await reload(gateway, ME + plans.format(9))
        assert (await ask(gateway.public_address, "/me", token)).status == 429


async def test_scopes_and_formats_of_new_keys_follow(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        assert (await mint(gateway.keyring)).secret.startswith("sk_")
        await reload(gateway, ME + "key_formats: {new: {prefix: nk, environments: [live, test]}}\n")
        minted = await mint(gateway.keyring)
        assert minted.secret.startswith("nk_")
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200


async def test_a_pepper_is_rotated_without_a_restart(tmp_path: Path) -> None:
    new = f"version: 1\npeppers: {{current: p2, p2: {PEPPER[::-1]}, p1: {PEPPER}}}\n"
    only = f"version: 1\npeppers: {{current: p2, p2: {PEPPER[::-1]}}}\n"
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        moved, unused = await mint(gateway.keyring), await mint(gateway.keyring)
        assert (await ask(gateway.public_address, "/me", moved.secret)).status == 200
        assert await reload(gateway, ME, head=new) == ["peppers.current", "peppers.p2"]
        assert (await ask(gateway.public_address, "/me", moved.secret)).status == 200
        await gateway.rekeying.settle()
        assert (await gateway.keyring.get_key(moved.record.key_id)).pepper_id == "p2"
        await reload(gateway, ME, head=only)
        assert (await ask(gateway.public_address, "/me", moved.secret)).status == 200
        assert (await ask(gateway.public_address, "/me", unused.secret)).status == 401


async def test_a_pepper_that_became_another_one_locks_nobody_out(tmp_path: Path) -> None:
    other = f"version: 1\npeppers: {{current: p1, p1: {PEPPER[::-1]}}}\n"
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        with pytest.raises(ReloadRefused, match=r"peppers\.p1 is another secret") as refused:
            await reload(gateway, ME, head=other)
        assert PEPPER[::-1] not in str(refused.value)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200


async def test_a_key_revoked_after_a_reload_stops_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        await reload(gateway, ME + PLANS)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 401


async def test_an_address_that_guesses_is_not_forgiven_by_a_reload(tmp_path: Path) -> None:
    throttle = "authentication: {{throttle: {{failures: {0}, per: 1h}}}}\n"
    async with serving(tmp_path, ME + throttle.format(2)) as gateway:
        for _ in range(2):
            assert (await ask(gateway.public_address, "/me", "guess")).status == 401
        assert (await ask(gateway.public_address, "/me", "guess")).status == 429
        await reload(gateway, ME + throttle.format(3))
        assert (await ask(gateway.public_address, "/me", "guess")).status == 429


# ---- bootstrap


def declared(*tenants: str) -> str:
    entries = ", ".join(f"{{id: {each}, name: {each}}}" for each in tenants)
    return f"bootstrap: {{tenants: [{entries}]}}\n"


async def test_tenants_that_are_declared_anew_are_stored(tmp_path: Path) -> None:
    async with serving(tmp_path, ME + declared("acme")) as gateway:
        await reload(gateway, ME + declared("acme", "umbra"))
        assert (await gateway.keyring.tenants.get("umbra")).name == "umbra"


async def test_a_tenant_that_an_operator_changed_stays_while_its_entry_does(tmp_path: Path) -> None:
    async with serving(tmp_path, ME + declared("acme")) as gateway:
        await gateway.keyring.tenants.update("acme", {"name": "Acme & Sons"}, ORDER)
        await reload(gateway, ME + PLANS + declared("acme"))
        assert (await gateway.keyring.tenants.get("acme")).name == "Acme & Sons"


async def test_what_the_store_refuses_refuses_the_reload(tmp_path: Path) -> None:
    bad = 'bootstrap: {tenants: [{id: acme, name: "bell\\a"}]}\n'
    async with serving(tmp_path) as gateway:
        with pytest.raises(ReloadRefused, match="bootstrap: /name"):
            await reload(gateway, PLANS + bad)
        assert gateway.number == 1
        assert (await ask(gateway.public_address, "/me")).status == 401


# ---- what is refused, and what waits for a restart


async def test_a_bad_file_changes_nothing_and_names_every_mistake(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        with pytest.raises(ReloadRefused) as caught:
            await reload(gateway, "rutes: []\nplans: {x: {rate: {per_minute: none}}}\n")
        assert [problem.path for problem in caught.value.problems] == [
            "rutes",
            "plans.x.rate.per_minute",
        ]
        assert all(problem.line for problem in caught.value.problems)
        assert (await ask(gateway.public_address, "/me")).status == 401
        text = await metrics_of(gateway)
        assert "tollhouse_config_last_reload_successful 0.0" in text
        assert 'tollhouse_config_reloads_total{result="refused"} 1.0' in text
        assert "tollhouse_config_generation 1.0" in text
        await reload(gateway, ME + PLANS)
        assert "tollhouse_config_last_reload_successful 1.0" in await metrics_of(gateway)


async def test_what_needs_a_restart_is_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        write(
            tmp_path,
            HEAD + edge(**{"path: keys.db": "path: other.db"}) + ME + PLANS,
        )
        reloaded = await gateway.reloads.reload("test")
        assert reloaded.restart == ["store.path"]
        assert [change.path for change in reloaded.changes] == ["plans.p"]
        assert gateway.config.store.path == "keys.db"
        assert "tollhouse_config_restart_needed 1.0" in await metrics_of(gateway)
        assert not (tmp_path / "other.db").exists()
        await reload(gateway, ME)
        assert "tollhouse_config_restart_needed 0.0" in await metrics_of(gateway)


async def test_what_does_not_go_together_with_a_running_value_is_refused(tmp_path: Path) -> None:
    proxied = "client_address: {trusted_proxies: [127.0.0.1]}\n"
    spoken = edge(**{"drain_timeout: 5s": "proxy_protocol: true"})
    async with serving(tmp_path, ME + proxied, spoken) as gateway:
        with pytest.raises(ReloadRefused, match=r"needs a restart: listeners\.public\.proxy"):
            await reload(gateway, ME)
        assert gateway.config.client_address.trusted_proxies


async def test_an_access_log_that_cannot_be_opened_refuses_the_reload(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        with pytest.raises(ReloadRefused, match=r"access\.log"):
            await reload(gateway, ME, edge(**{"path: 'off'": "path: missing/access.log"}))
        assert gateway.number == 1


async def test_reloads_at_the_same_time_take_turns(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        write(tmp_path, HEAD + EDGE + ME + PLANS)
        done = await asyncio.gather(*(gateway.reloads.reload("test") for _ in range(4)))
        assert sorted(each.generation for each in done) == [2, 3, 4, 5]
        assert [len(each.changes) for each in done] == [1, 0, 0, 0]


async def test_a_gateway_that_stops_takes_nothing_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        draining = asyncio.create_task(gateway.drain())
        await asyncio.sleep(0)
        with pytest.raises(ReloadRefused, match="stopping"):
            await reload(gateway, ME + PLANS)
        await draining
        assert gateway.number == 1


# ---- what asks for it


async def generation_is(gateway: Gateway, number: int) -> None:
    await until(lambda: gateway.number == number)


async def test_a_changed_file_is_taken_when_it_is_still(tmp_path: Path) -> None:
    watched = "reload: {poll: 50ms}\n"
    async with serving(tmp_path, ME + watched) as gateway:
        write(tmp_path, HEAD + EDGE + ME + watched + PLANS)
        await generation_is(gateway, 2)
        assert "p" in gateway.config.plans


async def test_a_signal_is_enough(tmp_path: Path) -> None:
    quiet = "reload: {watch: false}\n"
    async with serving(tmp_path, ME + quiet) as gateway:
        write(tmp_path, HEAD + EDGE + ME + quiet + PLANS)
        gateway.reloads.ask()
        await generation_is(gateway, 2)


# ---- nothing is left behind


async def test_an_old_configuration_is_freed_at_once_without_garbage_collection(
    tmp_path: Path,
) -> None:
    async with backend("one") as (url, _), serving(tmp_path, routed(url)) as gateway:
        await add_tenant(gateway)
        token = (await mint(gateway.keyring)).secret
        client = await keep_alive(gateway)
        gc.collect()
        before = tables()
        gc.disable()
        try:
            await reload(gateway, routed(url) + PLANS)
            old = weakref.ref(gateway.config)
            for path in ("/a", "/b", "/nowhere/at/all"):
                await get(client, path)
            await ask(gateway.public_address, "/me", token)
            await reload(gateway, routed(url))
            await reload(gateway, routed(url) + PLANS)  # a rollback would take the one before
            left = old()
            after = tables()
        finally:
            gc.enable()
            client.close()
        assert left is None
        assert after == before


def tables() -> int:
    return sum(type(each) in {RouteTable, CachedKeys} for each in gc.get_objects())


async def test_many_reloads_leave_no_task_and_no_connection(tmp_path: Path) -> None:
    async with (
        backend("one") as (one, first),
        backend("two") as (two, second),
        serving(tmp_path, routed(one)) as gateway,
    ):
        await ask(gateway.public_address, "/x")
        tasks = len(asyncio.all_tasks())
        for number in range(10):
            await reload(gateway, routed(two if number % 2 else one, further=PLANS))
            assert (await ask(gateway.public_address, "/x")).status == 200
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        await until(lambda: len(first.open) + len(second.open) == 1)
