"""What a change takes away ends within a second, of every kind that lasts, and nothing else does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, UnixConnector

from gateway.assembly.elsewhere import LateCuts
from gateway.assembly.gateway import Gateway, opened
from gateway.assembly.keys import make_keyring, open_keyring
from gateway.assembly.local_crew import LocalCrew
from gateway.assembly.membership import Following, following
from gateway.config.load import read
from gateway.control.crew import Acknowledged
from gateway.domain.blueprint import KeyWish
from gateway.keyring.door import Minted
from gateway.keyring.ledger import Changed
from gateway.ports import KeyStore
from tests.assembly.lasting import Lasting, Streams, lasting_backend
from tests.assembly.serving import add_tenant, ask
from tests.clock import FakeClock
from tests.config.sample import PEPPER, write
from tests.key_samples import ORDER, an_order
from tests.wire import until

WHY = an_order("leaked")
SOON_SECONDS = 0.3
HERE, THERE = "127.0.0.1", "127.0.0.2"


@dataclass
class World:
    """A gateway whose configuration is `config`, two keys of one tenant and one of another."""

    gateway: Gateway
    streams: Streams
    config: dict[str, Any]
    mine: Minted
    beside: Minted
    other: Minted

    async def reload(self) -> None:
        """Take `config` into force."""
        write(self.gateway.config_path.parent, json.dumps(self.config))
        await self.gateway.reloads.reload("test")

    def declare(self, minted: Minted, **changes: Any) -> None:
        """Let the configuration say that a key is so."""
        record = minted.record
        entry = {
            "id": record.key_id, "tenant": record.tenant_id, "name": record.name, "format": record.format,
            "environment": record.environment, "hash": record.digest.hex(), "pepper": record.pepper_id,
            "display": record.display, "scopes": [*record.scopes],
        }  # fmt: skip
        tenant = {"id": record.tenant_id, "name": f"Tenant {record.tenant_id}"}
        self.config["bootstrap"] = {"tenants": [tenant], "keys": [entry | changes]}


def configuration(url: str) -> dict[str, Any]:
    upstream: dict[str, Any] = {"targets": [url], "connections_max": 1000}

    def route(name: str, **changes: Any) -> dict[str, Any]:
        return {"name": name, "match": {"path": f"/{name}/{{rest...}}"}, "upstream": "u"} | changes

    return {
        "version": 1,
        "peppers": {"current": "p1", "p1": PEPPER},
        "listeners": {
            "public": {"bind": "127.0.0.1:0", "drain_timeout": "1s"},
            "metrics": {"bind": "127.0.0.1:0"},
            "admin": {"bind": "unix:run/admin.sock"},
        },
        "store": {"path": "keys.db", "poll": "50ms"},
        "telemetry": {"access_log": {"path": "off"}},
        "scopes": {"atoms": ["a:read", "b:read"], "bundles": {"both": {"add": ["a:read", "b:read"]}}},
        "upstreams": {"u": upstream},
        "routes": [
            route("a", scopes=["a:read"]),
            route("b", scopes=["b:read"]),
            route("open", auth="none"),
        ],
    }  # fmt: skip


@asynccontextmanager
async def world(folder: Path, workers: int = 1) -> AsyncIterator[World]:
    async with lasting_backend() as (url, backend):
        config = configuration(url) | {"workers": workers}
        path = write(folder, json.dumps(config))
        loaded = read(path, {})
        assert loaded.config is not None, loaded.problems
        async with opened(loaded.config, path) as gateway:
            await add_tenant(gateway)
            await add_tenant(gateway, tenant_id="ten_b")
            minted = [await _mint(gateway, tenant) for tenant in ("ten_a", "ten_a", "ten_b")]
            streams = Streams(gateway.public_address, backend)
            try:
                yield World(gateway, streams, config, *minted)
            finally:
                streams.close()


async def _mint(gateway: Gateway, tenant: str) -> Minted:
    wish = KeyWish(tenant_id=tenant, name="k", environment="live", scopes=("both",))
    return await gateway.keyring.create_key(wish, ORDER)


# ---- the causes: what is done, whose streams end for it and as what, and whose do not

Who = tuple[str, str, str]
"""A prefix of paths, a key of the world, and an address."""

Act = Callable[[World], Awaitable[object]]


async def revoke(held: World) -> object:
    return await held.gateway.keyring.revoke_key(held.mine.record.key_id, WHY)


async def suspend(held: World) -> object:
    return await held.gateway.keyring.suspend_key(held.mine.record.key_id, WHY)


async def expire(held: World) -> None:
    changes: Any = {"expires_at": held.gateway.clock.now() + SOON_SECONDS}
    await held.gateway.keyring.update_key(held.mine.record.key_id, changes, WHY)
    await asyncio.sleep(SOON_SECONDS)


async def reach_the_deadline_of_a_rotation(held: World) -> None:
    rotations = held.gateway.keyring.rotations
    await rotations.start(held.mine.record.key_id, WHY, grace_seconds=SOON_SECONDS)
    await asyncio.sleep(SOON_SECONDS)


async def rotate_without_grace(held: World) -> None:
    await held.gateway.keyring.rotations.start(held.mine.record.key_id, WHY, grace_seconds=0)


async def compromise(held: World) -> None:
    await held.gateway.keyring.incidents.compromise(held.mine.record.key_id, WHY, since=0.0)


async def take_scope(held: World) -> object:
    changes: Any = {"scopes": ("b:read",)}
    return await held.gateway.keyring.update_key(held.mine.record.key_id, changes, WHY)


async def allow_only_there(held: World) -> object:
    changes: Any = {"ip_allowlist": (THERE,)}
    return await held.gateway.keyring.update_key(held.mine.record.key_id, changes, WHY)


async def suspend_tenant(held: World) -> object:
    return await held.gateway.keyring.tenants.suspend("ten_a", WHY)


async def delete_tenant(held: World) -> object:
    gone = await held.gateway.keyring.tenants.delete("ten_a", WHY, revoke_keys=True)
    return Changed(gone.tenant, gone.enforced)


async def allow_tenant_only_there(held: World) -> object:
    changes: Any = {"ip_allowlist": (THERE,), "ip_allowlist_enabled": True}
    return await held.gateway.keyring.tenants.update("ten_a", changes, WHY)


async def revoke_on_the_file(held: World) -> object:
    """Do what `keys revoke --offline` does, past the gateway."""
    async with open_keyring(held.gateway.config, held.gateway.config_path) as keyring:
        return await keyring.revoke_key(held.mine.record.key_id, WHY)


async def suspend_tenant_on_the_file(held: World) -> object:
    async with open_keyring(held.gateway.config, held.gateway.config_path) as keyring:
        return await keyring.tenants.suspend("ten_a", WHY)


async def declare_without_scope(held: World) -> None:
    held.declare(held.mine, scopes=["b:read"])
    await held.reload()


async def declare_tenant_there(held: World) -> None:
    entry = {"id": "ten_a", "name": "A", "ip_allowlist": {"allow": [THERE], "enabled": True}}
    held.config["bootstrap"] = {"tenants": [entry]}
    await held.reload()


async def shrink_bundle(held: World) -> None:
    held.config["scopes"]["bundles"] = {"both": {"add": ["b:read"]}}
    await held.reload()


async def ask_another_scope(held: World) -> None:
    held.config["scopes"]["atoms"].append("c:read")
    held.config["routes"][0]["scopes"] = ["c:read"]
    await held.reload()


async def allow_route_only_there(held: World) -> None:
    held.config["routes"][0]["ip_allowlist"] = [THERE]
    await held.reload()


async def ask_for_a_key(held: World) -> None:
    held.config["routes"][2]["auth"] = "key"
    await held.reload()


async def bar_environment(held: World) -> None:
    held.config["routes"][0]["environments"] = ["test"]
    await held.reload()


MINE, ELSEWHERE, BESIDE, OTHER = (
    ("/a", "mine", HERE),
    ("/a", "mine", THERE),
    ("/a", "beside", HERE),
    ("/a", "other", HERE),
)
ON_B, OPEN = ("/b", "mine", HERE), ("/open", "", HERE)

CAUSES: list[tuple[Act, str, Who, tuple[Who, ...]]] = [
    (revoke, "key_revoked", MINE, (BESIDE, OPEN)),
    (suspend, "key_suspended", MINE, (BESIDE, OPEN)),
    (expire, "key_expired", MINE, (BESIDE,)),
    (reach_the_deadline_of_a_rotation, "key_revoked", MINE, (BESIDE,)),
    (rotate_without_grace, "key_revoked", MINE, (BESIDE,)),
    (compromise, "key_revoked", MINE, (BESIDE,)),
    (take_scope, "insufficient_scope", MINE, (ON_B, BESIDE)),
    (allow_only_there, "ip_not_allowed", MINE, (ELSEWHERE, BESIDE)),
    (suspend_tenant, "tenant_suspended", BESIDE, (OTHER, OPEN)),
    (delete_tenant, "key_revoked", BESIDE, (OTHER, OPEN)),
    (allow_tenant_only_there, "ip_not_allowed", BESIDE, (ELSEWHERE, OTHER)),
    (revoke_on_the_file, "key_revoked", MINE, (BESIDE,)),
    (suspend_tenant_on_the_file, "tenant_suspended", BESIDE, (OTHER,)),
    (declare_without_scope, "insufficient_scope", MINE, (ON_B, BESIDE)),
    (declare_tenant_there, "ip_not_allowed", MINE, (ELSEWHERE, OTHER)),
    (shrink_bundle, "insufficient_scope", BESIDE, (ON_B, OPEN)),
    (ask_another_scope, "insufficient_scope", MINE, (ON_B, OPEN)),
    (allow_route_only_there, "ip_not_allowed", MINE, (ELSEWHERE, ON_B)),
    (ask_for_a_key, "missing_credentials", OPEN, (MINE, ON_B)),
    (bar_environment, "env_mismatch", MINE, (ON_B, OPEN)),
]


def _named(cause: object) -> str:
    return str(getattr(cause, "__name__", ""))


async def begun(held: World, who: Who) -> list[Lasting]:
    prefix, name, origin = who
    secret = getattr(held, name).secret if name else ""
    return await held.streams.every_kind(prefix, secret, origin)


@pytest.mark.parametrize(("act", "reason", "whose", "others"), CAUSES, ids=_named)
async def test_what_lost_its_right_ends_within_a_second_and_nothing_else_does(
    tmp_path: Path, act: Act, reason: str, whose: Who, others: tuple[Who, ...]
) -> None:
    async with world(tmp_path) as held:
        await ends_exactly(held, act, reason, whose, others)


async def ends_exactly(
    held: World, act: Act, reason: str, whose: Who, others: tuple[Who, ...]
) -> None:
    doomed = await begun(held, whose)
    staying = [each for who in others for each in await begun(held, who)]
    done = await act(held)
    await asyncio.gather(*(each.ends(reason) for each in doomed))
    await asyncio.gather(*(each.goes_on() for each in staying))
    enforced = done.enforced if isinstance(done, Changed) else None
    if enforced is not None and enforced.of:  # else it was another process that changed it
        crew = held.gateway.workers
        assert (enforced.acknowledged, enforced.of, enforced.silent) == (crew, crew, ())
        assert enforced.streams_closed == len(doomed)
    told = (await ask(held.gateway.metrics_address, "/metrics")).body.decode()
    assert f'tollhouse_streams_closed_total{{cause="{reason}"}} {len(doomed)}.0' in told
    assert "tollhouse_revocations_pending 0.0" in told


@pytest.mark.parametrize(
    ("act", "reason", "whose", "others"),
    [each for each in CAUSES if each[0] in (suspend, expire, take_scope, shrink_bundle)],
    ids=_named,
)
async def test_it_ends_in_every_worker_and_nowhere_else(
    tmp_path: Path, act: Act, reason: str, whose: Who, others: tuple[Who, ...]
) -> None:
    async with world(tmp_path, workers=2) as held:
        await ends_exactly(held, act, reason, whose, others)


class FoundBeforeItIsTold:
    """A store whose every commit is found by who follows it before whoever made it goes on."""

    def __init__(self, held: World, learner: Following) -> None:
        self._store = held.gateway.store
        self._follow = learner.follow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, *what: Any) -> Any:
        done = await self._store.commit(*what)
        await self._follow()
        return done


async def test_what_was_ended_by_who_follows_the_store_is_told_by_the_call_that_changed_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as held:
        gateway = held.gateway
        learner = await following(gateway, is_late=False)
        store = cast("KeyStore", FoundBeforeItIsTold(held, learner))
        keyring = make_keyring(gateway.config, store, gateway.clock, gateway._enforce)
        doomed = await begun(held, MINE)
        done = await keyring.suspend_key(held.mine.record.key_id, WHY)
        assert done.enforced is not None
        assert done.enforced.streams_closed == len(doomed)
        resumed = await keyring.resume_key(held.mine.record.key_id, WHY)
        assert resumed.enforced is not None
        assert resumed.enforced.streams_closed == 0


def test_what_nobody_asked_for_is_forgotten() -> None:
    clock = FakeClock()
    cuts = LateCuts(clock.monotonic)
    cuts.note({"key_a": 2, "key_b": 0})
    cuts.note({"key_a": 3, "key_c": 1})
    assert [cuts.take(["key_a", "key_b"]), cuts.take(["key_a"])] == [5, 0]
    clock.advance(10)
    assert cuts.take(["key_c"]) == 0


class OneThatDoesNotDie(LocalCrew):
    """A crew of which one worker neither answers nor ends."""

    async def forget(self, ids: Iterable[str]) -> Acknowledged:
        await super().forget(ids)
        return Acknowledged(1, 2, ("worker 2 (pid 7)",))

    @property
    def silent(self) -> Sequence[str]:
        return ("worker 2 (pid 7)",)


async def test_answer_is_202_and_names_who_did_not_acknowledge(tmp_path: Path) -> None:
    async with world(tmp_path) as held:
        held.gateway.crew = OneThatDoesNotDie(held.gateway.here)
        path = f"/admin/v1/keys/{held.mine.record.key_id}:revoke"
        connector = UnixConnector(held.gateway.admin_address.removeprefix("unix:"))
        async with (
            ClientSession(connector=connector) as session,
            session.post(f"http://gateway{path}", json={"reason": "leaked"}) as answer,
        ):
            assert answer.status == 202
            told = (await answer.json())["enforcement"]
        assert (told["acknowledged"], told["of"]) == (1, 2)
        assert told["silent"] == ["worker 2 (pid 7)"]
        shown = (await ask(held.gateway.metrics_address, "/metrics")).body.decode()
        assert "tollhouse_revocations_pending 1.0" in shown


# ---- what ends under the configuration that it began with


async def test_what_used_a_route_that_left_goes_on_until_the_drain_timeout(tmp_path: Path) -> None:
    async with world(tmp_path) as held:
        doomed = await begun(held, MINE)
        staying = await begun(held, ON_B)
        held.config["reload"] = {"drain_timeout": "500ms"}
        del held.config["routes"][0]
        await held.reload()
        await asyncio.gather(*(each.goes_on() for each in doomed))
        await asyncio.gather(*(each.ends("no_route") for each in doomed))
        await asyncio.gather(*(each.goes_on() for each in staying))


async def test_a_route_with_another_name_and_upstream_cuts_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as held:
        staying = [*await begun(held, MINE), *await begun(held, OPEN)]
        held.config["upstreams"]["v"] = {"targets": ["http://127.0.0.1:9"]}
        held.config["routes"][0] |= {"name": "renamed", "upstream": "v"}
        held.config["routes"][1]["scopes"] = ["a:read"]
        await held.reload()
        await asyncio.gather(*(each.goes_on() for each in staying))
        assert held.gateway.here.retirement.waiting == 0


async def test_what_ended_in_time_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    async with world(tmp_path) as held:
        await begun(held, MINE)
        del held.config["routes"][0]
        await held.reload()
        await until(lambda: held.gateway.here.retirement.waiting == 1)
        held.streams.close()
        await until(lambda: held.gateway.here.retirement.waiting == 0)
