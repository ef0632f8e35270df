"""The SQL of records: how each kind is written, and read.

Knows that the last use of a record stands in a table of its own. Everything here is made of this package's own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.ports import Record
from gateway.stores.rows import KEYS, TABLES, TENANTS, Table, values_of

LAST_USED: Final = "last_used_at"


def stored_columns(table: Table[Any]) -> tuple[str, ...]:
    """Return the columns that the table itself has, the id first and `revision` last."""
    return tuple(column for column in table.columns if column != LAST_USED)


def stored_values(record: Record, revision: int) -> list[Any]:
    """Return the values of `stored_columns`, as the driver takes them."""
    table = TABLES[type(record)]
    values = values_of(record) | {"revision": revision}
    for name, reader in table.readers.items():
        if reader is bool:
            values[name] = bool(values[name])
    return [values[column] for column in stored_columns(table)]


def read_columns(table: Table[Any]) -> str:
    """Return what is selected for a row of `table.columns`."""
    own = f"{table.name}.{table.key}"
    last_use = f"(SELECT used_at FROM last_uses WHERE used_id = {own}) AS {LAST_USED}"  # noqa: S608
    return ", ".join(
        last_use if column == LAST_USED else f"{table.name}.{column}" for column in table.columns
    )


def select(table: Table[Any]) -> str:
    """Return the beginning of a statement that reads records."""
    return f"SELECT {read_columns(table)} FROM {table.name}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Saves:
    """The statements that write one record of a kind: one that must be new, one that must be there, either.

    All take `stored_values`; `update` also the revision that the record must have, at the end.
    """

    insert: str
    update: str
    either: str


def _saves(table: Table[Any]) -> Saves:
    columns, key = stored_columns(table), table.key
    places = ", ".join(f"${n}" for n, _ in enumerate(columns, 1))
    insert = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
    numbered = [f"{column} = ${n}" for n, column in enumerate(columns, 1) if column != key]
    excluded = [f"{column} = excluded.{column}" for column in columns if column != key]
    return Saves(
        insert=f"{insert} ON CONFLICT ({key}) DO NOTHING",
        update=f"UPDATE {table.name} SET {', '.join(numbered)} "  # noqa: S608
        f"WHERE {key} = $1 AND revision = ${len(columns) + 1}",
        either=f"{insert} ON CONFLICT ({key}) DO UPDATE SET {', '.join(excluded)}",
    )


SAVES: Final[Mapping[type[Any], Saves]] = {kind: _saves(table) for kind, table in TABLES.items()}

TAKE_REVISIONS: Final = "UPDATE store SET revision = revision + $1 RETURNING revision"
"""Take the next revisions, and the turn of everybody who writes, until the end of the transaction."""

TAKE_TURN: Final = "SELECT revision FROM store FOR UPDATE"
"""Take that turn alone."""

KEY: Final = select(KEYS)
TENANT: Final = select(TENANTS)
FIND: Final = (
    f"SELECT {read_columns(KEYS)}, {read_columns(TENANTS)} "  # noqa: S608
    "FROM keys JOIN tenants USING (tenant_id) WHERE keys.digest = ANY($1)"
)
CHANGES: Final = """
    SELECT revision, NULL::text FROM store
    UNION ALL SELECT revision, key_id FROM keys WHERE revision > $1
    UNION ALL SELECT revision, tenant_id FROM tenants WHERE revision > $1
"""
"""One statement sees one state: every revision up to the one that it returns."""

COUNT_EXPIRING: Final = """
    SELECT (
        SELECT count(*) FROM keys
        WHERE expires_at > $1 AND expires_at <= moment.at AND state IN ('active', 'suspended', 'rotating')
    )
    FROM unnest($2::double precision[]) WITH ORDINALITY AS moment (at, n) ORDER BY moment.n
"""
DUE: Final = f"""
    {KEY} WHERE key_id IN (
        (
            SELECT key_id FROM keys WHERE expires_at <= $1 AND state IN ('active', 'suspended', 'rotating')
            ORDER BY expires_at LIMIT $2
        ) UNION (
            SELECT key_id FROM keys WHERE resume_at <= $1 AND state = 'suspended' ORDER BY resume_at LIMIT $2
        ) UNION (
            SELECT key_id FROM keys
            WHERE retires_at <= $1 AND state IN ('active', 'suspended', 'rotating', 'expired')
            ORDER BY retires_at LIMIT $2
        )
    ) ORDER BY key_id LIMIT $2
"""  # noqa: S608
USE: Final = """
    INSERT INTO last_uses AS known (used_id, used_at)
    SELECT used.id, used.at FROM unnest($1::text[], $2::double precision[]) AS used (id, at)
    WHERE EXISTS (SELECT 1 FROM keys WHERE key_id = used.id)
       OR EXISTS (SELECT 1 FROM admin_tokens WHERE token_id = used.id)
    ORDER BY used.id
    ON CONFLICT (used_id) DO UPDATE SET used_at = excluded.used_at WHERE known.used_at < excluded.used_at
"""
"""In the order of ids, so that two gateways never wait for each other. Never goes back in time."""

LAST_USES: Final = "SELECT used_id, used_at FROM last_uses WHERE used_id = ANY($1)"

SAVE_COUNTS: Final = """
    INSERT INTO quota_counts AS known (bucket, period_start, count)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS told (bucket, period_start, count)
    ORDER BY told.bucket
    ON CONFLICT (bucket) DO UPDATE SET period_start = excluded.period_start, count = excluded.count
    WHERE (excluded.period_start, excluded.count) > (known.period_start, known.count)
"""
FORGET_COUNTS: Final = """
    DELETE FROM quota_counts WHERE bucket IN (
        SELECT bucket FROM quota_counts WHERE period_start <= $1 ORDER BY bucket FOR UPDATE SKIP LOCKED
    )
"""
FORGET_RESULTS: Final = """
    DELETE FROM idempotency WHERE idempotency_key IN (
        SELECT idempotency_key FROM idempotency WHERE created_at <= $1
        ORDER BY idempotency_key FOR UPDATE SKIP LOCKED
    )
"""

QUERIED: Final[Mapping[str, str]] = {
    "tenant_id": "tenant_id = {}",
    "state": "state = {}",
    "environment": "environment = {}",
    "template": "template = {}",
    "kind": "kind = {}",
    "lineage_id": "lineage_id = {}",
    "pepper_id": "pepper_id = {}",
    "not_pepper_id": "pepper_id <> {}",
    "tag": "tags::jsonb ? {}",
    "text": "(strpos(lower(name), lower({})) > 0 OR key_id = {} OR display = {})",
}
"""The condition of each part of a `KeyQuery`, with a place wherever its value stands."""
