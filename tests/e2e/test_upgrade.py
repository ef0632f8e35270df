"""Small versions of `make bench-upgrade`, and what becomes of an older program on a newer store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.cluster import servers
from bench.cluster.nodes import JOBS, asked, config_text, make_key, make_tenant
from bench.machine import Absent, Unusable, free_port
from bench.upgrade.scenes import Pace, in_turn, overlapping, rolling
from bench.upgrade.service import Service, listening
from bench.upgrade.versions import NEXT, Version, copied, later, renumber, this
from gateway import __version__
from gateway.stores.migrations import newest, prepare
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.pure]  # copies the sources


QUICK = Pace(settle=0.5, drain="3s", delay="800ms")


# ---- under load


@pytest.mark.parametrize(("workers", "short"), [(1, 1), (2, 0)])
async def test_a_newer_version_takes_over_without_one_failed_request(
    tmp_path: Path, workers: int, short: int
) -> None:
    done = await in_turn(tmp_path / "scene", "", workers=workers, short=short, pace=QUICK)
    assert (done.failed, done.why) == (0, ())
    assert done.asked > 50
    assert done.whole == short
    assert done.is_kept


@contextmanager
def database(folder: Path) -> Iterator[servers.Servers]:
    try:
        with servers.opened(folder) as found:
            yield found
    except Absent as missing:
        pytest.skip(str(missing))


async def test_a_newer_version_on_the_same_socket_makes_nobody_wait(tmp_path: Path) -> None:
    with database(tmp_path) as found:
        done = await overlapping(tmp_path / "scene", found, "", short=0, endless=0, pace=QUICK)
    assert (done.failed, done.why) == (0, ())
    assert done.longest < done.seconds / 2
    assert (done.kept, done.changes) == (2, 2)


async def test_gateways_are_replaced_one_after_the_other_without_one_failed_request(
    tmp_path: Path,
) -> None:
    with database(tmp_path) as found:
        try:
            done = await rolling(tmp_path / "scene", found, "", short=0, endless=0, pace=QUICK)
        except Absent as missing:
            pytest.skip(str(missing))
    assert (done.failed, done.why) == (0, ())
    assert done.kept == done.changes == 5


# ---- there and back


@pytest.fixture
def new(tmp_path: Path) -> Version:
    return later(tmp_path / "new")


@contextmanager
def place(folder: Path, more: str = "store: {path: tollhouse.db}\n") -> Iterator[Service]:
    """Give a gateway that may be started in any version."""
    home = folder / "home"
    home.mkdir()
    (folder / "pepper").write_text("0123456789abcdef" * 4)
    with listening() as public:
        port = public.getsockname()[1]
        text = config_text(more, port=port, metrics=free_port(), upstream=9)
        (home / "config.yaml").write_text(text)
        with Service(home, public) as service:
            yield service


def command(
    version: Version, service: Service, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "gateway",
            *arguments,
            "--config",
            str(service.folder / "config.yaml"),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=version.folder,
        env=os.environ | {"PYTHONPATH": str(version.folder)},
        check=False,
    )


def did(version: Version, service: Service, *arguments: str) -> str:
    done = command(version, service, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(service: Service, method: str, path: str, body: object = None) -> Any:
    """Ask the admin API of the gateway that runs."""

    async def ask() -> Any:
        async with service.admin() as session:
            return await asked(session, method, path, body)

    return asyncio.run(ask())


def minted(service: Service, name: str) -> tuple[str, str]:
    async def make() -> tuple[str, str]:
        async with service.admin() as session:
            await make_tenant(session)
            return await make_key(session, name)

    return asyncio.run(make())


def works(service: Service, secret: str) -> bool:
    url = f"http://127.0.0.1:{service.port}{JOBS}"
    status = requests.get(
        url, headers={"Authorization": f"Bearer {secret}"}, timeout=30
    ).status_code
    assert status in (401, 502)  # nobody is behind the gateway
    return status == 502


def test_an_older_version_does_not_start_on_a_newer_store_and_changes_nothing(
    tmp_path: Path, new: Version
) -> None:
    with place(tmp_path) as service:
        store = service.folder / "tollhouse.db"
        prepare(store)
        did(new, service, "db", "migrate")
        before = hashlib.sha256(store.read_bytes()).digest()
        refusal = f"has schema {newest() + 1}, this program knows {newest()}"
        with pytest.raises(Unusable, match=refusal):
            service.start(this())
        assert "Traceback" not in service.log.read_text()
        refused = command(this(), service, "db", "migrate")
        assert refused.returncode != 0
        assert refusal in refused.stderr
        assert hashlib.sha256(store.read_bytes()).digest() == before
        service.start(new)


def test_back_to_the_version_before_with_a_backup_and_nothing_revoked_works_again(
    tmp_path: Path, new: Version
) -> None:
    old, backup = this(), str(tmp_path / "before-upgrade.db")
    with place(tmp_path) as service:
        service.start(old)
        (leaked_id, leaked), (_, kept) = minted(service, "leaked"), minted(service, "kept")
        did(old, service, "db", "backup", backup)
        assert service.stop() == 0
        service.start(new)
        assert (works(service, leaked), works(service, kept)) == (True, True)
        told(service, "POST", f"/keys/{leaked_id}:revoke", {"reason": "it was in a repository"})
        _, made_since = minted(service, "made since")
        assert (works(service, leaked), works(service, made_since)) == (False, True)
        assert service.stop() == 0
        did(old, service, "db", "restore", backup, "--reason", "it does not work for us")
        service.start(old)
        assert (works(service, leaked), works(service, kept)) == (False, True)
        assert not works(service, made_since)


def test_a_worker_of_another_version_than_its_supervisor_does_not_begin_and_says_why(
    tmp_path: Path,
) -> None:
    """Somebody installs another version over the one that runs."""
    running = copied(tmp_path / "installed")
    with place(tmp_path, "store: {path: tollhouse.db}\nworkers: 2\n") as service:
        service.start(running)
        _, secret = minted(service, "k")
        [one, _] = told(service, "GET", "/workers")["data"]
        renumber(running, NEXT)
        os.kill(one["pid"], signal.SIGKILL)
        words = f"Tollhouse {NEXT} lies where {__version__}, which is running, was started from"
        eventually(lambda: words in service.log.read_text())
        assert all(works(service, secret) for _ in range(5))  # the other one goes on
        with pytest.raises(Unusable, match=words):
            told(service, "POST", "/workers:restart")
