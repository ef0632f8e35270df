"""What may happen to PostgreSQL, which holds the keys of two gateways."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.filling import filled, tiny_disk
from tests.chaos.place import LEASE_SECONDS, Place, together
from tests.chaos.scene import EVERYBODY, IN_MEMORY, NOBODY, Scene
from tests.postgres import Server, free_port

LONG: Final = "20s"
_DISK_BYTES: Final = 160 * 2**20

_LOCK_ALL: Final = """
BEGIN;
SELECT format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', schemaname, tablename)
FROM pg_tables WHERE schemaname = 'public' \\gexec
\\echo locked
"""


def psql(server: Server, *statements: str) -> None:
    """Carry out statements, each by itself."""
    command = [str(server.binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", server.url()]
    for statement in statements:
        command += ["-c", statement]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@contextmanager
def killed(place: Place) -> Iterator[None]:
    place.database.kill()
    yield
    place.database.start()


@contextmanager
def frozen(place: Place) -> Iterator[None]:
    place.database.freeze()
    try:
        yield
    finally:
        place.database.thaw()


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Hold a lock on every table, as a migration by hand does."""
    command = [str(place.database.binaries / "psql"), "-X", "-q", "-t", place.database.url()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(_LOCK_ALL)
        session.stdin.flush()
        while "locked" not in session.stdout.readline():
            assert session.poll() is None
        yield
        session.stdin.close()


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    reload = "SELECT pg_reload_conf()"
    psql(place.database, "ALTER SYSTEM SET default_transaction_read_only = on", reload)
    yield
    allow = "SET default_transaction_read_only = off"
    psql(place.database, allow, "ALTER SYSTEM RESET default_transaction_read_only", reload)


@contextmanager
def full(place: Place) -> Iterator[None]:
    """Leave no room on its disk; a server that gives up meanwhile is started again afterwards."""
    with filled(place.extra["disk"]):
        yield
    process = place.database.process
    if process is not None and process.poll() is not None:
        place.database.start()


@contextmanager
def with_tiny_disk(folder: Path, upstream: str) -> Iterator[Place]:
    """Put everything that the server has on a disk of its own."""
    with ExitStack() as stack:
        disk = stack.enter_context(tiny_disk(folder / "disk", _DISK_BYTES))

        def move(data: Path) -> None:
            moved = disk / "data"
            shutil.copytree(data, moved, symlinks=True)
            for each in (disk, moved, *moved.rglob("*")):
                shutil.chown(each, data.owner())
            moved.chmod(0o700)
            shutil.rmtree(data)
            data.symlink_to(moved)

        settings = {"max_wal_size": "48MB", "min_wal_size": "32MB", "wal_recycle": "off"}
        making = together(folder, upstream, prepare=move, settings=settings, lease=LONG)
        place = stack.enter_context(making)
        place.extra["disk"] = disk
        yield place


@contextmanager
def with_standby(folder: Path, upstream: str) -> Iterator[Place]:
    """Give the server a standby that has everything before it is acknowledged, and the gateways both addresses."""
    with ExitStack() as stack:
        place = stack.enter_context(together(folder, upstream))
        standby = _standby_of(place.database)
        place.extra["standby"] = standby
        standby.start()
        stack.callback(standby.kill)
        psql(
            place.database,
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        )
        one, both = (f"127.0.0.1:{place.database.port}", f"127.0.0.1:{standby.port}")
        for node in place.nodes:
            node.stop()
            node.text = node.text.replace(one, f"{one},{both}")
            node.start()
        yield place


def _standby_of(primary: Server) -> Server:
    home = primary.folder / "standby"
    home.mkdir()
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(home, user)
    subprocess.run(
        [
            *(str(primary.binaries / "pg_basebackup"), "-D", str(home / "data"), "-R"),
            *("-c", "fast", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"),
        ],
        check=True,
        capture_output=True,
        user=user,
        timeout=60,
    )
    return Server(home, free_port(), dict(primary.settings), primary.binaries)


@contextmanager
def failed_over(place: Place) -> Iterator[None]:
    """Kill the primary; what stands by takes its place."""
    place.database.kill()
    yield
    psql(place.extra["standby"], "SELECT pg_promote()")


@contextmanager
def cut_off(place: Place) -> Iterator[None]:
    """Let nothing pass between the second gateway and the database."""
    assert place.wire is not None
    place.wire.silence()
    yield
    place.wire.restore()


def _long(folder: Path, upstream: str) -> AbstractContextManager[Place]:
    return together(folder, upstream, lease=LONG)


_wired = partial(together, wired="postgres")
_BEYOND: Final = LEASE_SECONDS + 3.0

SCENES: Final = (
    Scene(
        name="postgres-killed",
        group="PostgreSQL",
        what="killed (SIGKILL), back within the lease",
        place=_long,
        fault=killed,
        unharmed=IN_MEMORY,
    ),
    Scene(
        name="postgres-killed-for-long",
        group="PostgreSQL",
        what="killed, away for twice the lease",
        place=together,
        fault=killed,
        hold=_BEYOND,
    ),
    Scene(
        name="postgres-stopped",
        group="PostgreSQL",
        what="stopped (SIGSTOP) for twice the lease",
        place=together,
        fault=frozen,
        hold=_BEYOND,
    ),
    Scene(
        name="postgres-failover",
        group="PostgreSQL",
        what="primary killed, a synchronous standby promoted",
        place=with_standby,
        fault=failed_over,
        hold=1.0,
    ),
    Scene(
        name="postgres-locked",
        group="PostgreSQL",
        what="every table locked, within the lease",
        place=_long,
        fault=locked,
        unharmed=IN_MEMORY,
    ),
    Scene(
        name="postgres-read-only",
        group="PostgreSQL",
        what="read-only, within the lease",
        place=_long,
        fault=read_only,
        unharmed=EVERYBODY,
    ),
    Scene(
        name="postgres-full",
        group="PostgreSQL",
        what="its disk is full, within the lease",
        place=with_tiny_disk,
        fault=full,
        hold=6.0,
        unharmed=IN_MEMORY,
    ),
    Scene(
        name="postgres-silent",
        group="PostgreSQL",
        what="packets of one gateway vanish for twice the lease",
        place=_wired,
        fault=cut_off,
        hold=_BEYOND,
        unharmed=NOBODY,
    ),
)
