"""The register of gateways in the database that they share.

Knows the SQL of `Nodes`. It must not know what follows from a sign of life, or from its absence.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, Final

from gateway.domain.nodes import Cut, Node, Roll
from gateway.stores.postgres.database import Database

_COLUMNS: Final = tuple(each.name for each in fields(Node))
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM nodes ORDER BY name, node_id"  # noqa: S608 - own names
_BEAT: Final = """
    INSERT INTO nodes AS known (
        node_id, name, address, version, audit_key, started_at, beat, heartbeat_at, lease_seconds,
        acknowledged_revision, is_leader, cuts
    )
    SELECT $1, $2, $3, $4, $5, $6::double precision, $7::bigint,
        extract(epoch FROM clock_timestamp())::double precision, $8::double precision,
        least($9::bigint, revision), $10::boolean, '[]'
    FROM store
    ON CONFLICT (node_id) DO UPDATE SET
        beat = excluded.beat, heartbeat_at = excluded.heartbeat_at, lease_seconds = excluded.lease_seconds,
        address = excluded.address, is_leader = excluded.is_leader
"""
_ROLL: Final = """
    SELECT revision, (
        SELECT coalesce(max(revision), 0) FROM (
            SELECT revision FROM keys WHERE key_id = ANY($1)
            UNION ALL SELECT revision FROM tenants WHERE tenant_id = ANY($1)
        ) AS asked
    ) FROM store
"""
_ACKNOWLEDGE: Final = """
    UPDATE nodes SET acknowledged_revision = $2, cuts = $3 WHERE node_id = $1
"""
_REMOVE: Final = "DELETE FROM nodes WHERE node_id = $1 AND ($2::bigint IS NULL OR beat = $2)"


class PostgresNodes:
    """Implements `cluster_ports.Nodes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, own: Node) -> Roll:
        """Give a sign of life; return everybody."""

        await self._database.ask(
            _BEAT,
            *(own.node_id, own.name, own.address, own.version, own.audit_key, own.started_at),
            *(own.beat, own.lease_seconds, own.acknowledged_revision, own.is_leader),
        )
        return await self.roll()

    async def roll(self, ids: Collection[str] = ()) -> Roll:
        """Return everybody, and the latest revision of the records with these ids."""

        # In this order: whoever is entered in between serves nothing that was before `wanted`.
        [(revision, wanted)] = await self._database.ask(_ROLL, list(ids))
        rows = await self._database.ask(_SELECT)
        return Roll(tuple(map(_node_of, rows)), revision, wanted)

    async def acknowledge(self, node_id: str, revision: int, cuts: Sequence[Cut]) -> None:
        """Say that a gateway serves by nothing that was before `revision`."""
        told = [[cut.revision, cut.record_id, cut.requests] for cut in cuts]
        await self._database.ask(_ACKNOWLEDGE, node_id, revision, json.dumps(told))

    async def remove(self, node_id: str, beat: int | None = None) -> None:
        """Strike a gateway out."""
        await self._database.ask(_REMOVE, node_id, beat)


def _node_of(row: Sequence[Any]) -> Node:
    values = dict(zip(_COLUMNS, row, strict=True))
    return Node(**(values | {"cuts": tuple(Cut(*each) for each in json.loads(values["cuts"]))}))
