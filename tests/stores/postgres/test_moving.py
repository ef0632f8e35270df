"""A store in a file becomes a database, with every record, or stays what it was."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from gateway.domain.alerts import AlertQuery
from gateway.domain.keys import KeyState
from gateway.domain.tenants import deleted
from gateway.domain.usage import FacetKind, FacetQuery, Interval
from gateway.ports import Write
from gateway.stores import sqlite
from gateway.stores.postgres import moving
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.audit import AuditReader
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.moving import PARTS, Moved, MoveRefused, move
from gateway.stores.postgres.opening import connected
from gateway.stores.postgres.store import PostgresStore
from gateway.stores.rows import TABLES
from tests.alert_samples import an_alert
from tests.contracts.alert_store import a_message, a_notice
from tests.contracts.audit_trail import a_checkpoint
from tests.contracts.commits import RECORDS, a_change
from tests.contracts.usage_store import EVER, asked, rolled, told
from tests.key_samples import a_key, a_tenant
from tests.usage_samples import HOUR, MINUTE, NOON, a_cell, a_facet, dimensions

NOW = 1_700_000_000.0


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Return a store in which something of everything is kept."""
    path = tmp_path / "tollhouse.db"
    async with sqlite.opened(path) as store:
        await store.commit(
            [
                Write(a_tenant(metadata={"größe": [1, 2.5, None, True], "nul": "\0"}), 0),
                Write(a_tenant("ten_b", parent_id="ten_a", is_suspended=True), 0),
                Write(a_key("key_b", last_used_at=NOW + 0.125, tags=("ci", "größe")), 0),
                Write(a_key("key_a", state=KeyState.REVOKED, expires_at=NOW, is_hidden=True), 0),
                Write(a_key("key_B", tenant_id="ten_b", environment="test"), 0),
                Write(a_tenant("ten_gone"), 0),
                Write(a_key("key_gone", tenant_id="ten_gone", state=KeyState.REVOKED), 0),
                Write(deleted(a_tenant("ten_gone"), NOW + 0.25, "left")),
                *(Write(each, 0) for each in RECORDS),
            ],
            [a_change("key_a", reason="grüße \u2028"), a_change("key_b")],
        )
        await store.touch({"key_a": NOW + 7.25, "adm_1": NOW + 9.5})
        await store.save_counts({"b:1": (1000, 5), "a:2": (2000, 2**40)})
        await store.remember("idem", "finger", "key_a", NOW)
        await store.audit.add_checkpoint(a_checkpoint(await store.audit.audit_head()))
        cells = [a_cell(NOON + n * MINUTE, of=dimensions(f"key_{n}")) for n in range(3)]
        refused = a_cell(NOON, 7, denied=1, reasons={"rate_limited": 1}, limit_used_max=0.75)
        await store.usage.add([*cells, refused], [a_facet(), a_facet("198.51.100.0/24")])
        await store.usage.roll(NOON + 90)
        await store.alerts.commit(
            [an_alert(fired_at=None, details={"größe": "\0"}), an_alert("alr_2", resolved_at=NOW)],
            [a_notice(), a_notice("mail")],
        )
        await store.alerts.pack(a_message(), 0)
    return path


@pytest.fixture
async def connection(access: Access) -> AsyncIterator[asyncpg.Connection]:
    async with connected(access) as connection:
        yield connection


async def nothing_to_say(_: AuditReader) -> None:
    """Find nothing wrong with the audit trail."""


async def test_everything_reads_in_the_database_as_it_did_in_the_file(
    file: Path, connection: asyncpg.Connection, store: PostgresStore
) -> None:
    moved = await move(file, connection, nothing_to_say)
    assert isinstance(moved, Moved)
    assert moved.rows["keys"] == 4
    of_usage = {name: count for name, count in moved.rows.items() if name.startswith("usage_")}
    assert of_usage == {
        "usage_dimensions": 4,
        "usage_cells": 7,
        "usage_durations": 7,
        "usage_reasons": 2,
        "usage_facets": 2,
    }
    of_alerts = 2 + 2 + 1
    assert sum(moved.rows.values()) - sum(of_usage.values()) == 20 + of_alerts
    async with sqlite.opened(file) as before:
        assert await store.revision() == await before.revision() == moved.revision
        for kind in TABLES:
            assert await store.page(kind) == await before.page(kind)
        assert await store.count_keys() == await before.count_keys()
        assert await store.load_counts(3000.0) == await before.load_counts(3000.0)
        assert await store.remember("idem", "x", "x", NOW + 1) == ("finger", "key_a")
        assert await store.audit.audit_records() == await before.audit.audit_records()
        assert await store.audit.checkpoints() == await before.audit.checkpoints()
        for interval in Interval:
            query = asked("key", "route", "time", "tenant", interval=interval)
            assert await store.usage.cells(query) == await before.usage.cells(query)
        facets = FacetQuery(kind=FacetKind.NETWORK, **EVER)
        assert await store.usage.facets(facets) == await before.usage.facets(facets)
        for state in ("", "pending"):
            asked_for = AlertQuery(state=state)
            assert await store.alerts.alerts(asked_for) == await before.alerts.alerts(asked_for)
        assert await store.alerts.messages() == [a_message()]
        assert await store.alerts.waiting("ops", 9) == await before.alerts.waiting("ops", 9)
        digest = a_key("key_b").digest
        assert await store.find([digest]) == await before.find([digest])


async def test_what_is_written_after_the_move_goes_on_from_there(
    file: Path, connection: asyncpg.Connection, store: PostgresStore
) -> None:
    moved = await move(file, connection, nothing_to_say)
    key = await store.get_key("key_b")
    assert key is not None
    [written] = await store.commit(
        [Write(replace(key, state=KeyState.SUSPENDED), key.revision)], [a_change("key_b")]
    )
    assert written.revision == moved.revision + 1
    assert [record.seq for record in await store.audit.audit_records()] == [1, 2, 3]
    counts = await store.count_keys()
    assert counts["suspended", "live"] == 1
    assert ("active", "live") not in counts
    await rolled(store.usage)
    later = a_cell(NOON + 2 * HOUR, of=dimensions("key_new"))
    await store.usage.add([later, a_cell(NOON, of=dimensions("key_0"))], [])
    found = told(await store.usage.cells(asked("key", interval=Interval.DAY)), "key_id")
    assert found == [("key_0", 2), ("key_1", 1), ("key_2", 1), ("key_a", 7), ("key_new", 1)]
    await store.alerts.commit([an_alert("alr_9", subject="new")], [a_notice(number=9)])
    assert [each.alert_id for each in (await store.alerts.alerts()).alerts] == ["alr_9", "alr_2"]
    assert (await store.alerts.waiting("ops", 9)).total == 2


async def test_the_database_has_its_indexes_after_the_move_and_knows_what_is_in_it(
    file: Path, connection: asyncpg.Connection
) -> None:
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    before = await connection.fetch(indexes)
    await move(file, connection, nothing_to_say)
    assert await connection.fetch(indexes) == before
    known = "SELECT reltuples FROM pg_class WHERE oid = 'keys'::regclass"
    count = await connection.fetchval("SELECT count(*) FROM keys")
    assert await connection.fetchval(known) == count > 0


async def test_a_dry_run_does_everything_and_keeps_nothing(
    file: Path, connection: asyncpg.Connection, store: PostgresStore
) -> None:
    seen = []

    async def look(trail: AuditReader) -> None:
        seen.append(await trail.audit_head())
        assert len(await trail.audit_records()) == 2
        assert len(await trail.checkpoints()) == 1

    moved = await move(file, connection, look, is_dry_run=True)
    assert moved.rows["keys"] == 4
    assert seen[0].seq == 2
    assert await store.list_keys() == []
    assert await store.revision() == 0
    assert (await move(file, connection, look)).rows == moved.rows


async def test_a_database_that_is_not_empty_is_refused(
    file: Path, connection: asyncpg.Connection, store: PostgresStore
) -> None:
    await store.save_tenant(a_tenant("ten_z"))
    with pytest.raises(MoveRefused, match="not empty: it has rows in tenants"):
        await move(file, connection, nothing_to_say)
    assert await store.list_keys() == []


async def test_a_database_that_gateways_use_is_refused(
    file: Path, connection: asyncpg.Connection, database: Database
) -> None:
    from gateway.stores.postgres.nodes import PostgresNodes
    from tests.contracts.nodes import a_node

    await PostgresNodes(database).beat(a_node())
    with pytest.raises(MoveRefused, match="rows in nodes"):
        await move(file, connection, nothing_to_say)


async def test_a_file_that_a_gateway_uses_is_refused_and_goes_on(
    file: Path, connection: asyncpg.Connection
) -> None:
    async with sqlite.opened(file) as running:
        with pytest.raises(MoveRefused, match="is in use: stop the gateway first"):
            await move(file, connection, nothing_to_say)
        assert (await running.save_tenant(a_tenant("ten_z"))).revision > 0
    await move(file, connection, nothing_to_say)


async def test_a_file_that_is_not_there_is_refused_and_not_made(
    tmp_path: Path, connection: asyncpg.Connection
) -> None:
    with pytest.raises(MoveRefused, match="there is no store at"):
        await move(tmp_path / "nothing.db", connection, nothing_to_say)
    assert [*await asyncio.to_thread(tmp_path.iterdir)] == []


async def test_a_file_that_is_no_store_is_refused(
    tmp_path: Path, connection: asyncpg.Connection
) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(MoveRefused, match="not a database"):
        await move(path, connection, nothing_to_say)


async def test_a_table_that_is_not_known_here_is_refused_unless_it_is_empty(
    file: Path, connection: asyncpg.Connection
) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE novelties (a TEXT) STRICT")
        other.execute("INSERT INTO novelties VALUES ('x')")
        other.commit()
    with pytest.raises(MoveRefused, match="how to move the table novelties"):
        await move(file, connection, nothing_to_say)
    with closing(sqlite3.connect(file)) as other:
        other.execute("DELETE FROM novelties")
        other.commit()
    await move(file, connection, nothing_to_say)


async def test_a_check_that_fails_leaves_nothing_behind(
    file: Path, connection: asyncpg.Connection, store: PostgresStore
) -> None:
    async def refuse(_: AuditReader) -> None:
        raise MoveRefused("not what it was")

    with pytest.raises(MoveRefused, match="not what it was"):
        await move(file, connection, refuse)
    assert await store.list_keys() == []


async def test_a_row_that_reads_differently_than_the_file_is_noticed(
    file: Path, connection: asyncpg.Connection, store: PostgresStore
) -> None:
    await connection.execute(
        """
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.reason := NEW.reason || ' '; RETURN NEW; END $$;
        CREATE TRIGGER spoil BEFORE INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION spoil();
        """
    )
    with pytest.raises(MoveRefused, match="incidents reads differently"):
        await move(file, connection, nothing_to_say)
    assert await store.list_keys() == []


async def test_the_file_stays_as_it_was(file: Path, connection: asyncpg.Connection) -> None:
    async with sqlite.opened(file) as store:
        before = await store.list_keys(), await store.audit.audit_records()
    await move(file, connection, nothing_to_say)
    async with sqlite.opened(file) as store:
        assert (await store.list_keys(), await store.audit.audit_records()) == before


async def test_rows_move_in_batches(
    file: Path, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "BATCH", 2)
    assert (await move(file, connection, nothing_to_say)).rows["keys"] == 4


def test_every_table_of_the_file_moves() -> None:
    from gateway.stores import migrations

    with closing(sqlite3.connect(":memory:")) as file:
        for _, script in migrations.steps():
            file.executescript(script)
        names = {
            row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        } - {"sqlite_sequence"}
        columns = {
            name: {row[1] for row in file.execute(f"PRAGMA table_info({name})")} for name in names
        }
    moved = {part.table: set(part.columns) for part in PARTS}
    assert names - set(moved) == {"store", "key_counts", "usage_state"}
    for name in names & set(moved):
        assert columns[name] - moved[name] <= {"last_used_at"}, name
