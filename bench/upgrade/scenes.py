"""The ways in which a running gateway is replaced by the next version, each under the same load.

Every new version brings the store to a schema that the old one does not know, while the old one may still run.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench.callers import failed, longest
from bench.cluster import balancer
from bench.cluster.nodes import (
    JOBS,
    Cluster,
    Node,
    Settings,
    asked,
    config_text,
    demo_upstream,
    make_key,
    make_tenant,
)
from bench.cluster.nodes import opened as gateways
from bench.cluster.servers import Servers
from bench.machine import Unusable, free_port
from bench.upgrade.crowd import Crowd, crowd
from bench.upgrade.service import Service, listening
from bench.upgrade.versions import Version, later, this

_WHY_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take: `settle` seconds of load before and after; `drain` (`drain_timeout`), longer than the
    streams that end by themselves; `delay` (`drain_delay`) behind the balancer, longer than it takes to notice.
    """

    settle: float = 1.5
    drain: str = "4s"
    delay: str = "1500ms"


USUAL: Final = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What came of one replacement: `longest` is the slowest answered request, `seconds` the whole replacement, of one
    gateway or of all. `whole` short streams of `short` came to their end; `cut` endless ones of `endless` were cut.
    `changes` were made while both versions ran, of which `kept` held at all gateways when the call returned.
    """

    how: str
    asked: int
    failed: int
    why: tuple[str, ...]
    longest: float
    seconds: float
    short: int = 0
    whole: int = 0
    endless: int = 0
    cut: int = 0
    changes: int = 0
    kept: int = 0

    @property
    def is_kept(self) -> bool:
        """Tell whether nobody noticed."""
        return not self.failed and self.whole == self.short and self.kept == self.changes


def _told(how: str, people: Crowd, seconds: float, changes: Sequence[bool] = ()) -> Upgraded:
    bad = failed(people.callers.calls)
    streams = people.streams
    return Upgraded(
        how=how,
        asked=len(people.callers.calls),
        failed=len(bad),
        why=tuple(sorted({each.why or str(each.status) for each in bad}))[:_WHY_MAX],
        longest=longest(people.callers.calls),
        seconds=seconds,
        short=sum(each.is_short for each in streams),
        whole=sum(each.is_short and each.is_whole for each in streams),
        endless=sum(not each.is_short for each in streams),
        cut=sum(not each.is_short and each.was_cut for each in streams),
        changes=len(changes),
        kept=sum(changes),
    )


# ---- one machine, one store that only one gateway uses


async def in_turn(
    folder: Path,
    how: str,
    *,
    workers: int = 1,
    short: int = 0,
    endless: int = 0,
    pace: Pace = USUAL,
) -> Upgraded:
    """Stop the old version and start the new one on the same file, as `systemctl restart` does."""
    new = _prepared(folder)
    with ExitStack() as stack:
        upstream = stack.enter_context(demo_upstream(folder))
        public = stack.enter_context(listening())
        port = public.getsockname()[1]
        more = f"store: {{path: tollhouse.db}}\nworkers: {workers}\n"
        service = stack.enter_context(_service(folder / "one", public, upstream, more, pace))
        service.start(this())
        async with service.admin() as session:
            await make_tenant(session)
            _, secret = await make_key(session, "before")
        async with crowd(port, secret, pace.settle) as people:
            await people.open_streams(short, endless)
            begun = time.monotonic()
            await _replaced(service, new)
            took = time.monotonic() - begun
            await _is(service, new)
        return _told(how, people, took)


async def _replaced(service: Service, new: Version) -> None:
    if status := await asyncio.to_thread(service.stop):
        raise Unusable(f"the old version ended with status {status}")
    await asyncio.to_thread(service.start, new)
    if not any(told.startswith("STOPPING=1") for told in service.told):
        raise Unusable("the old version did not tell the service manager that it ends")


# ---- one machine, a database: the new version beside the old one


async def overlapping(
    folder: Path, servers: Servers, how: str, *, short: int, endless: int, pace: Pace = USUAL
) -> Upgraded:
    """Start the new version on the same socket, then stop the old one."""
    new = _prepared(folder)
    with ExitStack() as stack:
        upstream = stack.enter_context(demo_upstream(folder))
        public = stack.enter_context(listening())
        port = public.getsockname()[1]
        one, other = (
            stack.enter_context(
                _service(
                    folder / name,
                    public,
                    upstream,
                    f'store: {{url: "{servers.store_url}"}}\ncluster: {{node: {name}}}\n',
                    pace,
                )
            )
            for name in ("blue", "green")
        )
        one.start(this())
        (other.folder / "audit.key").write_bytes((one.folder / "audit.key").read_bytes())
        (other.folder / "audit.key").chmod(0o600)
        async with one.admin() as session:
            await make_tenant(session)
            _, secret = await make_key(session, "before")
        async with crowd(port, secret, pace.settle) as people:
            await people.open_streams(short, endless)
            begun = time.monotonic()
            await asyncio.to_thread(other.start, new)
            async with one.admin() as old, other.admin() as fresh:
                changes = [await _changed(old, [port]), await _changed(fresh, [port])]
            if status := await asyncio.to_thread(one.stop):
                raise Unusable(f"the old version ended with status {status}")
            took = time.monotonic() - begun
            await _is(other, new)
        return _told(how, people, took, changes)


# ---- several machines behind a balancer


async def rolling(
    folder: Path, servers: Servers, how: str, *, short: int, endless: int, pace: Pace = USUAL
) -> Upgraded:
    """Replace one gateway of three after the other, behind a balancer. Raises `Absent` without HAProxy."""
    new = _prepared(folder)
    public = f'{{{{bind: "127.0.0.1:{{port}}", drain_delay: {pace.delay}, drain_timeout: {pace.drain}}}}}'
    settings = Settings(prefix="rolling", public=public)
    with ExitStack() as stack:
        cluster = stack.enter_context(gateways(folder / "nodes", servers, settings))
        port = stack.enter_context(balancer.opened(folder, cluster.nodes))
        async with cluster.nodes[0].admin() as session:
            await make_tenant(session)
            _, secret = await make_key(session, "before")
        async with crowd(port, secret, pace.settle) as people:
            await people.open_streams(short, endless)
            begun, changes = time.monotonic(), []
            for number, node in enumerate(cluster.nodes):
                await asyncio.to_thread(_replace_node, node, new)
                changes += await _changed_at(cluster, number)
            took = time.monotonic() - begun
        async with cluster.nodes[0].admin() as session:
            versions = {each["version"] for each in (await asked(session, "GET", "/nodes"))["data"]}
        if versions != {new.number}:
            raise Unusable(f"the gateways are of versions {versions}")
        return _told(how, people, took, changes)


def _replace_node(node: Node, new: Version) -> None:
    if status := node.stop():
        raise Unusable(f"gateway {node.name} ended with status {status}")
    node.cwd = new.folder
    node.start()
    node.wait()


async def _changed_at(cluster: Cluster, number: int) -> list[bool]:
    """Change something at the gateway that was replaced last, and at one of another version if there is one."""
    ports = [node.port for node in cluster.nodes]
    changes = []
    for node in {cluster.nodes[number].name, cluster.nodes[-1].name}:
        async with cluster.named(node).admin() as session:
            changes.append(await _changed(session, ports))
    return changes


# ---- what all have in common


def _prepared(folder: Path) -> Version:
    """Make the folder of a scene, with a pepper for all and the new version in it."""
    folder.mkdir()
    (folder / "pepper").write_text(secrets.token_hex(32))
    return later(folder / "new")


def _service(folder: Path, public: socket.socket, upstream: int, more: str, pace: Pace) -> Service:
    folder.mkdir()
    port = public.getsockname()[1]
    listener = f'{{bind: "127.0.0.1:{port}", drain_timeout: {pace.drain}}}'
    text = config_text(more, port=port, metrics=free_port(), upstream=upstream, public=listener)
    (folder / "config.yaml").write_text(text)
    return Service(folder, public)


async def _is(service: Service, version: Version) -> None:
    """Raise `Unusable` unless the gateway is of that version, and takes changes."""
    async with service.admin() as session:
        [node] = [
            each for each in (await asked(session, "GET", "/nodes"))["data"] if each["is_self"]
        ]
        if node["version"] != version.number:
            raise Unusable(f"{node['version']} runs, not {version.number}")
        await make_key(session, "after")


async def _changed(session: aiohttp.ClientSession, ports: Sequence[int]) -> bool:
    """Make a key and revoke it; tell whether every gateway let it through in between, and none afterwards."""
    key_id, secret = await make_key(session, "between")
    before = [await _status(port, secret) for port in ports]
    answer = await asked(session, "POST", f"/keys/{key_id}:revoke", {"reason": "measured"})
    after = [await _status(port, secret) for port in ports]
    return set(before) == {200} and set(after) == {401} and answer["status"] == 200


async def _status(port: int, secret: str) -> int:
    url, fields = f"http://127.0.0.1:{port}{JOBS}", {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=fields) as answer:
        await answer.read()
        return answer.status
