"""The key store: whole, of a schema that this program knows, on a disk with room, its keys under peppers that exist.

A database is asked for what it holds; whether it is whole and has room is looked after where it runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gateway.assembly.errors import CannotStart
from gateway.assembly.stores import opened_to_read
from gateway.cli.checkup.finding import Finding, Patient, fail, ok, warn
from gateway.cli.snapshot import examined
from gateway.control.clock import Moments, SystemClock
from gateway.domain.queries import AuditQuery
from gateway.ports import StoreUnavailable
from gateway.stores.migrations import newest
from gateway.stores.sqlite_copies import CannotCopy, inspect

_ROOM_LEAST: Final = 100 * 2**20
_ROOM_LOW: Final = 2**30
_AHEAD_SECONDS: Final = 60.0
_OFF: Final = "off"
_NEWEST: Final = AuditQuery(is_newest_first=True)
_CHECK: Final = "store"


class _Held(NamedTuple):
    """What the store holds: keys by pepper, and the time of the last record of the audit trail (0: none)."""

    peppers: dict[str, int]
    last_at: float


def store(patient: Patient) -> Iterator[Finding]:
    """The file, or the database, can be used; the file is not damaged."""
    if patient.config.store.url.get_secret_value():
        yield from _database(patient)
        return
    path = patient.store
    if not path.exists():
        yield from _absent(path)
        return
    if not os.access(path, os.R_OK | os.W_OK):
        yield fail(
            _CHECK, f"{path} cannot be written by this user", "run this as the gateway's user"
        )
        return
    try:
        found = inspect(path, is_thorough=False)
        held = asyncio.run(_held(patient)) if found.schema == newest() else _Held({}, 0.0)
    except (CannotCopy, StoreUnavailable) as error:
        yield fail(
            _CHECK, str(error), "restore a backup: `tollhouse db restore FILE --reason TEXT`"
        )
        return
    if found.schema < newest():
        yield warn(
            _CHECK,
            f"{path} has schema {found.schema}; the next start brings it to {newest()}",
            "back it up before: `tollhouse db backup FILE`",
        )
    yield ok(_CHECK, f"{path} is sound: {found.keys} keys, {found.tenants} tenants")
    yield from _peppers(patient, held)
    yield from _clock(patient, held)


def snapshot(patient: Patient) -> Iterator[Finding]:
    """A snapshot of the keys is there to serve by when the store breaks; only one that runs keeps it young."""
    told = examined(patient.config, patient.path, Moments(SystemClock())())
    if told["file"] is None:
        yield ok(
            "snapshot", "no snapshot of the keys is kept: a broken store is the end of service"
        )
    elif told["valid"]:
        seconds, keys = told["age_seconds"], told["keys"]
        yield ok("snapshot", f"{told['file']} holds {keys} keys as they were {seconds:.0f} s ago")
    elif patient.is_running:
        yield warn(
            "snapshot",
            f"{told['file']}: {told['why_not']}",
            "see docs/runbooks/GatewaySnapshotStale.md: a restart with a broken store serves nobody",
        )
    else:
        yield ok(
            "snapshot", f"{told['file']}: {told['why_not']}; a gateway that runs writes another"
        )


def _absent(path: Path) -> Iterator[Finding]:
    folder = next(each for each in path.absolute().parents if each.exists())
    if os.access(folder, os.W_OK | os.X_OK):
        yield ok(_CHECK, f"{path} will be made at the first start")
    else:
        yield fail(_CHECK, f"{path} cannot be made: {folder} is not writable", f"chown {folder}")


def _database(patient: Patient) -> Iterator[Finding]:
    try:
        held = asyncio.run(_held(patient))
    except (StoreUnavailable, CannotStart) as error:
        yield fail(
            _CHECK, str(error), "see that it runs and can be reached from here as `store.url` says"
        )
        return
    yield ok(_CHECK, f"the database can be read: {sum(held.peppers.values())} keys in use")
    yield from _peppers(patient, held)
    yield from _clock(patient, held)


async def _held(patient: Patient) -> _Held:
    async with opened_to_read(patient.config, patient.path) as opened:
        last = await opened.audit.audit_records(_NEWEST, limit=1)
        return _Held(dict(await opened.store.count_peppers()), last[0].at if last else 0.0)


def _peppers(patient: Patient, held: _Held) -> Iterator[Finding]:
    section = patient.config.peppers
    lost = {name: count for name, count in held.peppers.items() if name not in section.keys}
    waiting = sum(
        count
        for name, count in held.peppers.items()
        if name in section.keys and name != section.current
    )
    for name, count in lost.items():
        yield fail(
            "keys by pepper",
            f"{count} keys are under pepper {name}, which the configuration does not have: nobody can use them",
            f"bring pepper {name} back until `tollhouse keys list --pepper {name}` names none",
        )
    if waiting:
        yield warn(
            "keys by pepper",
            f"{waiting} keys are still under an older pepper",
            "keep it: each moves when it is next used (docs/how-to/rotate-the-pepper.md)",
        )
    if not lost and not waiting:
        yield ok("keys by pepper", f"all are under pepper {section.current}")


def _clock(patient: Patient, held: _Held) -> Iterator[Finding]:
    """Expiry, quotas and the audit trail go by the clock."""
    latest = max(held.last_at, patient.path.stat().st_mtime)
    if latest > patient.now + _AHEAD_SECONDS:
        yield fail(
            "clock",
            f"the clock is {latest - patient.now:.0f} seconds behind what was written before",
            "set it, and keep it right (chrony, systemd-timesyncd): keys would expire late",
        )
    else:
        yield ok("clock", "it is not behind what was written before")


def room(patient: Patient) -> Iterator[Finding]:
    """There is room on the disks that are written to."""
    config = patient.config
    wanted = {patient.store.parent: _ROOM_LOW}
    if config.request_log.path != _OFF:
        folder = patient.anchored(config.request_log.path)
        taken = (
            sum(each.stat().st_size for each in folder.glob("*.jsonl")) if folder.exists() else 0
        )
        wanted[folder] = max(0, config.request_log.bytes_max - taken) + _ROOM_LOW
    for path, bytes_wanted in wanted.items():
        there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        said = f"{free / 2**30:.1f} GiB are free for {path}"
        if free < _ROOM_LEAST:
            yield fail(
                "disk",
                said,
                "make room: without it no key can be changed, and requests are not recorded",
            )
        elif free < bytes_wanted:
            yield warn(
                "disk",
                f"{said}, which may need {bytes_wanted / 2**30:.1f} GiB",
                "make room, or lower request_log.bytes_max",
            )
        else:
            yield ok("disk", said)
