"""Moves the store of a gateway that is stopped from its file to a database.

Knows that the audit trail is verified on both sides, with the files beside the store, which stay where they are.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.assembly.records import audit_files
from gateway.assembly.stores import access_to
from gateway.audit.chain import Report
from gateway.audit.files import Unusable
from gateway.audit.keeper import verify
from gateway.config import model
from gateway.config.places import anchored
from gateway.domain.database_address import DatabaseAddress
from gateway.ports import AuditReading
from gateway.stores import sqlite

if TYPE_CHECKING:
    from gateway.stores.postgres.moving import Moved


class CannotMove(Exception):
    """The store stays where it is; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Move:
    """What was moved, and what the verification of the audit trail found on both sides; None for an empty trail."""

    moved: Moved
    audit: Report | None


async def move_store(
    config: model.Config, path: Path, address: DatabaseAddress, *, is_dry_run: bool = False
) -> Move:
    """Copy everything to the database at `address`, or, with `is_dry_run`, only find out whether that would succeed.

    Raises `CannotMove`, `StoreUnavailable`, `CannotStart`.
    """
    way = access_to(config, path, address)
    from gateway.stores.postgres import moving, opening

    file = anchored(path, config.store.path)
    if not await asyncio.to_thread(file.is_file):
        raise CannotMove(f"there is no store at {file}")
    files = audit_files(config, path)
    found: list[Report | None] = []

    async def check(trail: AuditReading) -> None:
        head = await trail.audit_head()
        try:
            found.append(await verify(trail, files) if head.seq else None)
        except Unusable as error:
            raise CannotMove(f"the audit trail cannot be verified: {error}") from error

    async def check_again(trail: AuditReading) -> None:
        await check(trail)
        if found[0] != found[1]:
            raise CannotMove("the audit trail reads differently in the database: nothing was moved")

    async with sqlite.opened(file) as store:
        await check(store.audit)
    await opening.make_ready(way)
    try:
        async with opening.connected(way) as connection:
            moved = await moving.move(file, connection, check_again, is_dry_run=is_dry_run)
    except moving.MoveRefused as error:
        raise CannotMove(str(error)) from error
    return Move(moved, found[0])
