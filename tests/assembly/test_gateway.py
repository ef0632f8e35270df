"""A gateway as a whole: it opens or it does not, it keeps what it counted, and it learns what others changed."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.assembly.errors import CannotStart
from gateway.assembly.gateway import Gateway, opened
from gateway.assembly.sockets import BindError
from gateway.domain.admin_tokens import Role
from gateway.ports import StoreUnavailable
from tests.assembly.serving import (
    EDGE,
    ROUTES,
    add_tenant,
    ask,
    configured,
    mint,
    serving,
)
from tests.key_samples import ORDER, an_order

PLANS = "plans: {month: {quota: {per_month: 5}}, fast: {rate: {per_minute: 600}}}\n"


# ---- opening


async def test_an_open_gateway_says_where_it_serves(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        assert (await ask(gateway.public_address, "/nowhere")).status == 404
        assert (await ask(gateway.metrics_address, "/readyz")).status == 200
        assert (await ask(gateway.admin_address, "/admin/v1/keys")).status == 200
        assert gateway.admin_address == f"unix:{tmp_path / 'run' / 'admin.sock'}"


async def test_the_admin_socket_is_for_its_owner_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "run" / "admin.sock"
    async with serving(tmp_path):
        assert mode_of(path) == 0o600
    assert not exists(path)


async def test_every_listener_may_be_a_unix_socket(tmp_path: Path) -> None:
    edge = EDGE.replace("bind: '127.0.0.1:0', drain", "bind: 'unix:public.sock', drain")
    edge = edge.replace("metrics: {bind: '127.0.0.1:0'}", "metrics: {bind: 'unix:metrics.sock'}")
    async with serving(tmp_path, edge=edge) as gateway:
        assert (await ask(gateway.public_address, "/nowhere")).status == 404
        assert (await ask(gateway.metrics_address, "/livez")).status == 200
        for name in ("public.sock", "metrics.sock"):
            assert mode_of(tmp_path / name) == 0o666
    for name in ("public.sock", "metrics.sock"):
        assert not exists(tmp_path / name)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def exists(path: Path) -> bool:
    return path.exists()


async def test_the_admin_api_on_tcp_opens_to_admin_tokens_only_without_one_in_the_config(
    tmp_path: Path,
) -> None:
    edge = EDGE.replace("'unix:run/admin.sock'", "'127.0.0.1:0'")
    async with serving(tmp_path, ROUTES, edge) as gateway:
        assert (await ask(gateway.admin_address, "/admin/v1/keys")).status == 401
        minted = await gateway.keyring.admin_tokens.create("ops", Role.VIEWER, ORDER)
        assert (await ask(gateway.admin_address, "/admin/v1/keys", minted.secret)).status == 200
        answer = await ask(gateway.admin_address, "/admin/v1/whoami", minted.secret)
        assert answer.json["role"] == "viewer"


async def test_the_admin_api_on_tcp_wants_its_token(tmp_path: Path) -> None:
    token = "t" * 32
    edge = EDGE.replace("'unix:run/admin.sock'", f"'127.0.0.1:0', token: {token}")
    async with serving(tmp_path, edge=edge) as gateway:
        assert (await ask(gateway.admin_address, "/admin/v1/keys")).status == 401
        assert (await ask(gateway.admin_address, "/admin/v1/keys", token)).status == 200


def taken(tmp_path: Path, stack: list[socket.socket]) -> str:
    other = socket.create_server(("127.0.0.1", 0))
    stack.append(other)
    return f"127.0.0.1:{other.getsockname()[1]}"


def public_port_taken(folder: Path, stack: list[socket.socket]) -> tuple[str, str]:
    return EDGE.replace(
        "bind: '127.0.0.1:0', drain", f"bind: '{taken(folder, stack)}', drain"
    ), ROUTES


def metrics_port_taken(folder: Path, stack: list[socket.socket]) -> tuple[str, str]:
    setting = f"metrics: {{bind: '{taken(folder, stack)}'}}"
    return EDGE.replace("metrics: {bind: '127.0.0.1:0'}", setting), ROUTES


def admin_socket_served(folder: Path, stack: list[socket.socket]) -> tuple[str, str]:
    (folder / "run").mkdir()
    live = socket.socket(socket.AF_UNIX)
    live.bind(str(folder / "run" / "admin.sock"))
    live.listen()
    stack.append(live)
    return EDGE, ROUTES


def store_unreadable(folder: Path, stack: list[socket.socket]) -> tuple[str, str]:
    (folder / "keys.db").write_text("this is no database, whatever its name says\n" * 100)
    return EDGE, ROUTES


def log_folder_missing(folder: Path, stack: list[socket.socket]) -> tuple[str, str]:
    return EDGE.replace("path: 'off'", "path: missing/access.log"), ROUTES


def bootstrap_conflict(folder: Path, stack: list[socket.socket]) -> tuple[str, str]:
    name = "bell\\a"
    return EDGE, f'{ROUTES}bootstrap: {{tenants: [{{id: acme, name: "{name}"}}]}}\n'


@pytest.mark.parametrize(
    ("trouble", "error", "text"),
    [
        (public_port_taken, BindError, "cannot listen on 127.0.0.1:"),
        (metrics_port_taken, BindError, "cannot listen on 127.0.0.1:"),
        (admin_socket_served, BindError, "cannot listen on unix:run/admin.sock"),
        (store_unreadable, StoreUnavailable, "keys.db"),
        (log_folder_missing, OSError, "access.log"),
        (bootstrap_conflict, CannotStart, "bootstrap: /name"),
    ],
)
async def test_a_gateway_that_cannot_open_says_why_and_leaves_nothing_open(
    trouble: Callable[[Path, list[socket.socket]], tuple[str, str]],
    error: type[Exception],
    text: str,
    tmp_path: Path,
) -> None:
    others: list[socket.socket] = []
    edge, routes = trouble(tmp_path, others)
    config = configured(tmp_path, routes, edge)
    tasks, files = asyncio.all_tasks(), open_files()
    with pytest.raises(error) as caught:
        async with opened(config, tmp_path / "config.yaml"):
            pass
    assert text in str(caught.value)
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == tasks
    caught = None  # type: ignore[assignment]  # it holds the frames of what was opened
    gc.collect()
    assert open_files() <= files
    if not any(other.family == socket.AF_UNIX for other in others):
        assert not exists(tmp_path / "run" / "admin.sock")
    for other in others:
        other.close()


def open_files() -> set[str]:
    """Return what this process holds open, by descriptor, but for the event loop's own."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        try:
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - a link to no path
        except FileNotFoundError:
            continue
        if "socket" in target or "keys.db" in target or ".log" in target:
            found.add(f"{name} {target}")
    return found


async def test_a_gateway_that_closed_can_be_opened_again_on_the_same_ports(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        edge = EDGE.replace("'127.0.0.1:0', drain", f"'{gateway.public_address}', drain")
    tasks = asyncio.all_tasks()
    for _ in range(2):
        async with serving(tmp_path, edge=edge) as gateway:
            assert (await ask(gateway.public_address, "/nowhere")).status == 404
    assert asyncio.all_tasks() == tasks


async def test_a_port_that_is_taken_is_noticed_before_the_store_is_made(tmp_path: Path) -> None:
    others: list[socket.socket] = []
    edge, routes = public_port_taken(tmp_path, others)
    with pytest.raises(BindError):
        async with serving(tmp_path, routes, edge):
            pass
    others[0].close()
    assert not exists(tmp_path / "keys.db")


async def test_what_fails_while_a_gateway_runs_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serving(tmp_path):
            raise KeyError("mine")


async def test_a_gateway_that_is_cancelled_closes(tmp_path: Path) -> None:
    is_open = asyncio.Event()

    async def run() -> None:
        async with serving(tmp_path):
            is_open.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await is_open.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not exists(tmp_path / "run" / "admin.sock")


# ---- serving


async def test_a_minted_key_works_at_once_and_a_revoked_one_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        answer = await ask(gateway.public_address, "/me", minted.secret)
        assert answer.status == 200
        assert answer.json["key_id"] == minted.record.key_id
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        refused = await ask(gateway.public_address, "/me", minted.secret)
        assert (refused.status, refused.json["code"]) == (401, "key_revoked")


async def test_an_address_that_guesses_is_slowed_down_as_configured(tmp_path: Path) -> None:
    text = ROUTES + "authentication: {throttle: {failures: 2, per: 1h}}\n"
    async with serving(tmp_path, text) as gateway:
        answers = [await ask(gateway.public_address, "/me", f"guess{n}") for n in range(3)]
        assert [answer.status for answer in answers] == [401, 401, 429]
        assert int(answers[-1].fields["retry-after"]) > 60


async def test_a_plan_that_left_the_config_refuses_its_keys_and_never_unlimits_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, ROUTES + PLANS) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring, "month")
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
    with caplog.at_level(logging.CRITICAL):
        async with serving(tmp_path, ROUTES) as gateway:
            for _ in range(2):
                answer = await ask(gateway.public_address, "/me", minted.secret)
                assert answer.status == 500
                assert b"month" not in answer.body
    assert "'month', which the config does not declare" in caplog.text
    assert minted.secret not in caplog.text


async def test_metrics_tell_about_the_store_the_keys_and_the_listener(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        await mint(gateway.keyring)
    async with serving(tmp_path) as gateway:
        await ask(gateway.public_address, "/nowhere")
        text = (await ask(gateway.metrics_address, "/metrics")).body.decode()
    assert "tollhouse_store_up 1.0" in text
    assert "tollhouse_keys{" in text
    assert "tollhouse_connections " in text
    assert 'route="__unmatched__"' in text


# ---- a request in flight


@asynccontextmanager
async def slow_upstream() -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Run a backend that answers when it is told to; yields its URL, what it has, and what it waits for."""
    has_request, may_answer = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        has_request.set()
        await may_answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", has_request, may_answer
    may_answer.set()
    server.close()
    await server.wait_closed()


async def test_while_draining_readiness_says_so_and_the_last_request_ends(tmp_path: Path) -> None:
    async with slow_upstream() as (url, has_request, may_answer):
        text = (
            f"upstreams: {{u: {{targets: ['{url}']}}}}\n"
            "routes: [{name: slow, match: {path: /slow}, auth: none, upstream: u}]\n"
        )
        async with serving(tmp_path, text) as gateway:
            assert gateway.readiness()[0]
            asking = asyncio.create_task(ask(gateway.public_address, "/slow"))
            await has_request.wait()
            draining = asyncio.create_task(gateway.drain())
            await asyncio.sleep(0)
            answer = await ask(gateway.metrics_address, "/readyz")
            assert answer.status == 503
            assert answer.json["reasons"] == ["draining"]
            assert (await ask(gateway.metrics_address, "/livez")).status == 200
            with pytest.raises(OSError):  # noqa: PT011 - refused or reset: it takes no more
                await ask(gateway.public_address, "/slow")
            may_answer.set()
            assert (await asking).body == b"done"
            await draining


async def test_probes_are_answered_until_the_last_request_of_a_gateway_that_closes_has_ended(
    tmp_path: Path,
) -> None:
    gateways: asyncio.Queue[Gateway] = asyncio.Queue()
    may_close = asyncio.Event()

    async def serve(text: str) -> None:
        edge = EDGE.replace("drain_timeout: 5s", "drain_timeout: 10m")
        async with serving(tmp_path, text, edge) as gateway:
            gateways.put_nowait(gateway)
            await may_close.wait()

    async with slow_upstream() as (url, has_request, may_answer), asyncio.TaskGroup() as tasks:
        text = (
            f"upstreams: {{u: {{targets: ['{url}']}}}}\n"
            "routes: [{name: slow, match: {path: /slow}, auth: none, upstream: u}]\n"
        )
        closing = tasks.create_task(serve(text))
        gateway = await gateways.get()
        asking = tasks.create_task(ask(gateway.public_address, "/slow"))
        await has_request.wait()
        may_close.set()
        while (answer := await ask(gateway.metrics_address, "/readyz")).status == 200:
            pass
        assert answer.json["reasons"] == ["draining"]
        assert (await ask(gateway.admin_address, "/admin/v1/keys")).status == 200
        may_answer.set()
        await closing
        assert (await asking).body == b"done"
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset: it takes no more
        await ask(gateway.metrics_address, "/livez")
