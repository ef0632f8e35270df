"""A backup takes the place of the store: what stays, what is stopped again, and what the audit trail says of it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from gateway.assembly.offline import open_offline
from gateway.assembly.restoring import Restored, restore
from gateway.config.model import Config
from gateway.domain.change import Actor, Order
from gateway.domain.keys import KeyState
from gateway.domain.queries import AuditQuery, KeyQuery
from gateway.keyring.again import StoppedAgain, TakenOver
from gateway.stores import sqlite_copies
from gateway.stores.migrations import newest
from gateway.stores.snapshots.files import drop
from gateway.stores.sqlite_copies import CannotCopy
from gateway.stores.sqlite_lock import InUse
from tests.assembly.serving import add_tenant, ask, configured, mint, serving, written
from tests.key_samples import an_order

ORDERED = Order(actor=Actor(kind="admin", name="uid:0"), reason="the disk died")


def store_of(folder: Path) -> Path:
    return folder / "keys.db"


def found(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def content(path: Path) -> bytes:
    return path.read_bytes()


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


async def back_up(folder: Path) -> Path:
    target = folder / "backup.db"
    sqlite_copies.back_up(store_of(folder), target)
    return target


async def restored(folder: Path, source: Path, *, with_new_keys: bool = False) -> Restored:
    return await restore(
        configured(folder),
        folder / "config.yaml",
        source,
        ORDERED,
        with_new_keys=with_new_keys,
    )


async def told(folder: Path, config: Config) -> list[str]:
    async with open_offline(config, folder / "config.yaml") as offline:
        report = await offline.audit.verify()
        assert report.fault is None, report
        assert report.signed_seq == report.last_seq
        return [record.type for record in await offline.audit.page(AuditQuery(), limit=1000)]


async def test_keys_of_a_backup_work_again_and_what_was_revoked_since_does_not(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        kept, revoked = await mint(gateway.keyring), await mint(gateway.keyring)
        source = await back_up(tmp_path)
        await gateway.keyring.revoke_key(revoked.record.key_id, an_order("leaked"))
        late = await mint(gateway.keyring)
    done = await restored(tmp_path, source)
    assert done.stopped == StoppedAgain(keys=1, lost=1)
    assert done.contents.keys == 2
    async with serving(tmp_path) as gateway:
        for minted, status in ((kept, 200), (revoked, 401), (late, 401)):
            assert (await ask(gateway.public_address, "/me", minted.secret)).status == status
    assert sqlite_copies.inspect(Path(done.kept)).keys == 3


async def test_the_audit_trail_goes_on_and_tells_of_the_restoration(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        source = await back_up(tmp_path)
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        await mint(gateway.keyring)
    await restored(tmp_path, source)
    config = configured(tmp_path)
    assert await told(tmp_path, config) == [
        "tenant.created",
        "key.created",
        "key.revoked",
        "store.restored",
    ]
    async with open_offline(config, tmp_path / "config.yaml") as offline:
        [record] = await offline.audit.page(AuditQuery(type="store.restored"))
        told_of = record.content()
    assert told_of["reason"] == "the disk died"
    assert told_of["actor"]["name"] == "uid:0"
    assert told_of["before"]["audit_seq"] == 4
    assert told_of["after"]["stopped_again"]["keys"] == 1
    assert len(found(tmp_path, "audit.head.replaced-*")) == 1
    async with serving(tmp_path) as gateway:
        await mint(gateway.keyring)
        assert (await gateway.audit.verify()).fault is None


async def test_a_second_restoration_in_the_same_second_keeps_what_the_first_kept(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        source = await back_up(tmp_path)
    now = time.time()
    stamps = [time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now + each)) for each in range(600)]
    for stamp in stamps:
        (tmp_path / f"keys.db.replaced-{stamp}").write_text("the first")
        (tmp_path / f"audit.head.replaced-{stamp}").write_text("the first")
    one, other = [await restored(tmp_path, source) for _ in range(2)]
    assert one.kept != other.kept
    for done in (one, other):
        assert Path(done.kept).name.removeprefix("keys.db.replaced-").partition("-")[0] in stamps
        assert sqlite_copies.inspect(Path(done.kept)).keys == 0
        assert content(Path(done.kept.replace("keys.db", "audit.head")))
    kept = (tmp_path / f"{name}.replaced-{stamps[0]}" for name in ("keys.db", "audit.head"))
    assert {path.read_text() for path in kept} == {"the first"}


async def test_the_file_that_was_replaced_is_kept_with_a_trail_that_verifies(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        source = await back_up(tmp_path)
        await mint(gateway.keyring)
    done = await restored(tmp_path, source)
    aside = folder(tmp_path, "aside")
    config = configured(aside)
    shutil.copy(done.kept, store_of(aside))
    [head] = found(tmp_path, "audit.head.replaced-*")
    for name, path in (
        ("audit.head", head),
        ("audit.pub", tmp_path / "audit.pub"),
        ("audit.key", tmp_path / "audit.key"),
    ):
        shutil.copy(path, aside / name)
    assert await told(aside, config) == ["tenant.created", "key.created"]


async def test_nothing_is_restored_while_a_gateway_runs_on_the_store(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        source = await back_up(tmp_path)
        minted = await mint(gateway.keyring)
        with pytest.raises(InUse, match="stop the gateway"):
            await restored(tmp_path, source)
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200


async def test_a_damaged_store_is_replaced_and_it_is_said_that_nothing_was_stopped_again(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        source = await back_up(tmp_path)
    store_of(tmp_path).write_bytes(b"\xa5" * 50_000)
    drop(tmp_path / "keys.snapshot")
    done = await restored(tmp_path, source)
    assert done.stopped is None
    assert not done.is_by_snapshot
    assert content(Path(done.kept)) == b"\xa5" * 50_000
    async with serving(tmp_path) as gateway:
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200


@pytest.mark.parametrize("is_gone", [False, True])
async def test_what_was_revoked_stays_so_by_the_snapshot_when_the_store_cannot_be_read(
    is_gone: bool, tmp_path: Path
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        kept, revoked, suspended = [await mint(gateway.keyring) for _ in range(3)]
        source = await back_up(tmp_path)
        await written(gateway)
        await gateway.keyring.revoke_key(revoked.record.key_id, an_order("leaked"))
        await gateway.keyring.suspend_key(suspended.record.key_id, an_order("unpaid"))
    store_of(tmp_path).unlink()
    if not is_gone:
        store_of(tmp_path).write_bytes(b"\xa5" * 50_000)
    done = await restored(tmp_path, source)
    assert done.stopped == StoppedAgain(keys=2)
    assert done.is_by_snapshot
    async with serving(tmp_path) as gateway:
        for minted, status in ((kept, 200), (revoked, 401), (suspended, 401)):
            assert (await ask(gateway.public_address, "/me", minted.secret)).status == status


@pytest.mark.parametrize("state", ["whole", "newer", "rubbish", "gone", "damaged"])
async def test_keys_that_were_made_since_the_backup_work_on_if_that_is_wanted(
    state: str, tmp_path: Path
) -> None:
    """By the store that is replaced, or by its snapshot when not every page of it is what was written."""
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        kept = await mint(gateway.keyring)
        source = await back_up(tmp_path)
        await written(gateway)
        made, revoked = await mint(gateway.keyring), await mint(gateway.keyring)
        await gateway.keyring.revoke_key(revoked.record.key_id, an_order("leaked"))
    path = store_of(tmp_path)
    if state == "rubbish":
        path.write_bytes(b"\xa5" * 50_000)
    elif state == "newer":  # an older program goes back to what it had
        with closing(sqlite3.connect(path)) as file, file:
            file.execute(f"PRAGMA user_version = {newest() + 1}")
        drop(tmp_path / "keys.snapshot")
    elif state == "gone":
        path.unlink()
    elif state == "damaged":  # it can be opened, and its records say something else
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("PRAGMA writable_schema = ON")
            file.execute("UPDATE keys SET state = 'active'")
            file.execute("DELETE FROM sqlite_schema WHERE name LIKE 'keys%' AND type = 'index'")
    done = await restored(tmp_path, source, with_new_keys=True)
    assert done.taken_over == TakenOver(keys=2)
    assert done.stopped is not None
    assert done.stopped.lost == 0
    async with serving(tmp_path) as gateway:
        for minted, status in ((kept, 200), (made, 200), (revoked, 401)):
            assert (await ask(gateway.public_address, "/me", minted.secret)).status == status
        assert (await gateway.audit.verify()).fault is None


async def test_a_rotation_that_was_begun_since_comes_along_with_new_keys(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        old = await mint(gateway.keyring)
        source = await back_up(tmp_path)
        begun = await gateway.keyring.rotations.start(
            old.record.key_id, an_order("due"), grace_seconds=3600
        )
    done = await restored(tmp_path, source, with_new_keys=True)
    assert done.taken_over == TakenOver(keys=1, rotations=1)
    async with serving(tmp_path) as gateway:
        for secret in (old.secret, begun.secret):
            assert (await ask(gateway.public_address, "/me", secret)).status == 200
        await gateway.keyring.rotations.complete(begun.rotation.rotation_id, an_order("moved"))
        assert (await ask(gateway.public_address, "/me", old.secret)).status == 401
        assert (await gateway.audit.verify()).fault is None


async def test_where_nothing_can_be_believed_nothing_is_taken_over(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        source = await back_up(tmp_path)
        made = await mint(gateway.keyring)
    store_of(tmp_path).write_bytes(b"\xa5" * 50_000)
    drop(tmp_path / "keys.snapshot")
    assert (await restored(tmp_path, source, with_new_keys=True)).taken_over is None
    async with serving(tmp_path) as gateway:
        assert (await ask(gateway.public_address, "/me", made.secret)).status == 401


@pytest.mark.parametrize("what", ["damaged", "edited", "truncated"])
async def test_a_backup_that_was_changed_changes_nothing(what: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        for _ in range(3):
            await mint(gateway.keyring)
        await gateway.audit.verify()
    async with open_offline(configured(tmp_path), tmp_path / "config.yaml"):
        pass  # signs the end with a checkpoint
    source = await back_up(tmp_path)
    before = content(store_of(tmp_path))
    if what == "damaged":
        source.write_bytes(source.read_bytes()[:9000])
    else:
        with closing(sqlite3.connect(source)) as file:
            file.execute(
                "UPDATE audit SET body = replace(body, 'ten_a', 'ten_b') WHERE seq = 2"
                if what == "edited"
                else "DELETE FROM audit WHERE seq > 2"
            )
            file.commit()
    with pytest.raises(CannotCopy):
        await restored(tmp_path, source)
    assert content(store_of(tmp_path)) == before
    assert found(tmp_path, "*replaced*") == found(tmp_path, "*restoring*") == []
    assert await told(tmp_path, configured(tmp_path))


async def test_on_another_machine_the_public_key_is_needed_and_enough(tmp_path: Path) -> None:
    here, there = folder(tmp_path, "here"), folder(tmp_path, "there")
    async with serving(here) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
    async with open_offline(configured(here), here / "config.yaml"):
        pass
    source = await back_up(here)
    with pytest.raises(CannotCopy, match=r"audit\.pub"):
        await restored(there, source)
    assert not store_of(there).exists()
    for path in found(there, "audit.*"):
        path.unlink()
    shutil.copy(here / "audit.pub", there / "audit.pub")
    done = await restored(there, source)
    assert (done.kept, done.stopped) == ("", None)
    async with serving(there) as gateway:
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 200
        assert (await gateway.audit.verify()).fault is None


async def test_restoring_twice_comes_to_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        source = await back_up(tmp_path)
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
    await restored(tmp_path, source)
    for path in found(tmp_path, "*.replaced-*"):
        path.rename(path.with_name(f"{path.name}.first"))
    done = await restored(tmp_path, source)
    assert done.stopped == StoppedAgain(keys=1)
    async with open_offline(configured(tmp_path), tmp_path / "config.yaml") as offline:
        page = await offline.keyring.list_keys(KeyQuery())
        assert [key.state for key in page.records] == [KeyState.REVOKED]
