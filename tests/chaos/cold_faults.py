"""A gateway that starts while its store is away: it goes by the snapshot of its keys."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.clients import Kind
from tests.chaos.database_faults import LONG
from tests.chaos.facts import Bounds, Facts
from tests.chaos.file_faults import BESIDE, store_of
from tests.chaos.place import BURST, Place, alone, together
from tests.chaos.process_faults import LAST_LINES, LAST_SECOND
from tests.chaos.scene import Scene

_SNAPSHOT_SECONDS: Final = 3.0
"""How long a snapshot may take to hold what was just made."""


@contextmanager
def _starting_without(place: Place) -> Iterator[None]:
    """Start the gateways, which were killed, and note from when to when they serve without a store."""
    for node in place.nodes:
        node.start()
    place.extra["from"] = time.monotonic()
    yield
    place.extra["until"] = time.monotonic()


@contextmanager
def removed(place: Place) -> Iterator[None]:
    """Let the file be gone at a start; put it back, and start again."""
    place.node.kill()
    store = store_of(place.node)
    away = store.with_name("elsewhere.db")
    for end in BESIDE:
        Path(f"{store}{end}").rename(f"{away}{end}")
    with _starting_without(place):
        yield
    place.node.stop()
    for end in BESIDE:
        Path(f"{store}{end}").unlink(missing_ok=True)
        Path(f"{away}{end}").rename(f"{store}{end}")
    place.node.start()


@contextmanager
def damaged(place: Place) -> Iterator[None]:
    """Let the file be rubbish at a start; put a copy in its place, and start again."""
    place.node.kill()
    store = store_of(place.node)
    with closing(sqlite3.connect(store)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = store.read_bytes()
    store.write_bytes(os.urandom(len(whole)))
    with _starting_without(place):
        yield
    place.node.stop()
    for end in BESIDE[1:]:
        Path(f"{store}{end}").unlink(missing_ok=True)
    store.write_bytes(whole)
    place.node.start()


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Let another process hold the file locked at a start, and let go of it."""
    place.node.kill()
    with closing(sqlite3.connect(store_of(place.node), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with _starting_without(place):
            yield
        other.execute("ROLLBACK")


@contextmanager
def database_away(place: Place) -> Iterator[None]:
    for node in place.nodes:
        node.kill()
    place.database.kill()
    with _starting_without(place):
        yield
    place.database.start()


def goes_by_the_snapshot(place: Place, facts: Facts) -> list[str]:
    """Say who was not served as the snapshot says: known keys are, revoked ones are not, of others nothing is known."""
    began, ended = place.extra["from"], place.extra["until"]
    seen = {
        kind: Counter(
            ask.status
            for ask in facts.asks
            if ask.kind is kind and began < ask.began and ask.ended < ended
        )
        for kind in Kind
    }
    allowed = {
        Kind.KNOWN: {200},
        Kind.COLD: {200},
        Kind.REVOKED: {401},
        Kind.UNKNOWN: {503},
        Kind.OPEN: {200},
    }
    said = [
        f"{kind}: {seen[kind]}, where {statuses} was due"
        for kind, statuses in allowed.items()
        if not set(seen[kind]) <= statuses
    ]
    return said if seen[Kind.KNOWN] else ["nothing was asked meanwhile"]


def _two(folder: Path, upstream: str) -> AbstractContextManager[Place]:
    return together(folder, upstream, lease=LONG)


_scene = partial(
    Scene,
    group="Cold start",
    check=goes_by_the_snapshot,
    bounds=Bounds(quota=LAST_SECOND + BURST, rate=BURST),
    may_miss=LAST_LINES,
    settle=_SNAPSHOT_SECONDS,
)

SCENES: Final = (
    _scene(
        name="start-removed",
        what="gateway killed, its SQLite file gone; put back, restarted",
        place=alone,
        fault=removed,
    ),
    _scene(
        name="start-damaged",
        what="gateway killed, its SQLite file rubbish; a copy put in its place, restarted",
        place=alone,
        fault=damaged,
    ),
    _scene(
        name="start-locked",
        what="gateway killed, its SQLite file locked by another process",
        place=alone,
        fault=locked,
    ),
    _scene(
        name="start-postgres",
        what="both gateways and PostgreSQL killed, the gateways started first",
        place=_two,
        fault=database_away,
    ),
)
