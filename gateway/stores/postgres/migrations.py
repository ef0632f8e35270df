"""The schema of the database, and its version.

Knows how to bring a database to this program's schema, all steps in one transaction, however many gateways start at the
same time. It must not know what the tables mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import asyncpg

SERVER_VERSION_MIN: Final = 140_000
"""In older ones a session that nobody uses any more never ends: a leader that stands still would stay the leader."""

_LOCK: Final = 0x746F6C6C_686F7573
"""Whoever holds this advisory lock changes the schema."""

_VERSION: Final = "SELECT version FROM tollhouse_schema"
_IS_THERE: Final = """
    SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'tollhouse_schema' AND pg_table_is_visible(oid))
"""
"""Looks into the table of tables: whoever waited for the lock would find what it remembers of a name otherwise."""

Step = tuple[int, str]
"""A version of the schema, and the SQL that leads to it from the one before."""


class SchemaError(Exception):
    """The database cannot be used by this program; the text says what to do."""


async def prepare(connection: asyncpg.Connection, schema: Sequence[Step] | None = None) -> None:
    """Bring the database to the newest schema. Raises `SchemaError`, or what the driver raises."""
    require_version(connection.get_server_version())
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        raise SchemaError(
            "`synchronous_commit` is off, so a crash could undo a revocation that was acknowledged: run"
            " ALTER DATABASE ... SET synchronous_commit = on"
        )
    known = steps() if schema is None else schema
    if await _version(connection) == known[-1][0]:
        return  # the usual case, which needs no right to change anything
    async with connection.transaction():
        # However long it takes: nobody waits for an answer yet. The others wait here, then find the work done.
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        found = await _version(connection)
        if found > known[-1][0]:
            raise SchemaError(
                f"it has schema {found}, this program knows {known[-1][0]}: "
                "run the newer program, or restore a backup made before the upgrade"
            )
        for version, script in known:
            if version > found:
                await connection.execute(script)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS tollhouse_schema"
            " (only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row), version INTEGER NOT NULL)"
        )
        await connection.execute(
            "INSERT INTO tollhouse_schema (version) VALUES ($1)"
            " ON CONFLICT (only_row) DO UPDATE SET version = excluded.version",
            known[-1][0],
        )


async def require_newest(connection: asyncpg.Connection) -> None:
    """Raise `SchemaError` unless the database has the newest schema."""
    require_version(connection.get_server_version())
    found, wanted = await _version(connection), steps()[-1][0]
    if not found:
        raise SchemaError("it holds no store yet: a gateway that starts makes the tables")
    if found != wanted:
        raise SchemaError(f"it has schema {found}, this program knows {wanted}")


def require_version(server: asyncpg.ServerVersion) -> None:
    """Raise `SchemaError` unless the server can do what is asked of it."""
    if server.major * 10_000 < SERVER_VERSION_MIN:
        least = SERVER_VERSION_MIN // 10_000
        raise SchemaError(f"PostgreSQL {server.major} is too old: run {least} or newer")


def steps() -> list[Step]:
    """Return the schema steps as (version, SQL), in order."""
    folder = files("gateway.stores") / "schema_postgres"
    named = {each.name: each for each in folder.iterdir() if each.name.endswith(".sql")}
    return [(int(name.split("_")[0]), named[name].read_text("utf-8")) for name in sorted(named)]


async def _version(connection: asyncpg.Connection) -> int:
    """Return the version that the database has, 0 for none."""
    if not await connection.fetchval(_IS_THERE):
        return 0
    return int(await connection.fetchval(_VERSION))
