"""What is written comes back; what was changed, cut off, or is of somebody else is not believed."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.denial import Reason
from gateway.domain.digest import Peppers
from gateway.domain.key_snapshots import Moment
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.tenants import Tenant, deleted
from gateway.stores.rows import KEY_COLUMNS
from gateway.stores.snapshots.files import Files, drop, journals
from gateway.stores.snapshots.journal import doubtful_entry, key_entry, tenant_entry
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.records import SnapshotRecords
from gateway.stores.snapshots.sealing import BLOCK_BYTES, Seals, Unusable
from tests.key_samples import a_key, a_tenant, bound
from tests.stores.snapshots.samples import (
    HERE,
    STORE,
    files,
    keys,
    reading,
    row,
    seals,
    tenants,
    write,
)


def changed(key: KeyRecord, **values: object) -> bytes:
    return key_entry(row(replace(key, **values)))  # type: ignore[arg-type]


def journal(folder: Path) -> Path:
    [path] = journals(folder / "keys.snapshot")
    return path


def test_every_key_and_tenant_comes_back(tmp_path: Path) -> None:
    records = keys(257)
    write(files(tmp_path), records)
    snapshot = reading(tmp_path)
    for record in records:
        found = snapshot.key([bytes(32), record.digest])
        assert found == (record, a_tenant(record.tenant_id))
    assert snapshot.key([bytes(32), b"\xff" * 32]) is None
    assert [snapshot.tenant(each.tenant_id) for each in tenants()] == tenants()
    assert snapshot.tenant("ten_") is None
    assert snapshot.tenant("ten_9") is None
    snapshot.close()


def test_a_key_with_any_name_comes_back_from_pages_and_journal(tmp_path: Path) -> None:
    into, [one, other] = files(tmp_path), keys(2)
    named = [replace(each, name='größe 鍵 \U0001f511 "\\\n', tags=("ä",)) for each in (one, other)]
    write(into, named)
    renamed = replace(named[1], name="ключ")
    into.note([key_entry(row(renamed))])
    snapshot = reading(tmp_path)
    assert [snapshot.key([each.digest]) for each in (one, other)] == [
        (each, a_tenant(each.tenant_id)) for each in (named[0], renamed)
    ]


def test_many_keys_are_written_without_holding_them_in_memory(tmp_path: Path) -> None:
    """Forty bytes for each key of a million would count against a gateway that is nearly full of them."""
    into, pattern, place = files(tmp_path), row(a_key()), KEY_COLUMNS.index("digest")
    into.begin(7, HERE, None)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for first in range(0, 100_000, 200):
            numbers = range(first + 1, first + 201)
            parts = [
                [*pattern[:place], n.to_bytes(32, "big"), *pattern[place + 1 :]] for n in numbers
            ]
            into.add_keys(parts)
        into.begin_tenants()
        into.finish()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # two buffers of a megabyte; the index alone has four
    snapshot = Snapshot(tmp_path / "keys.snapshot", seals, STORE)
    snapshot.refresh()
    assert snapshot.pages.keys == 100_000
    snapshot.close()


def test_an_empty_store_has_a_snapshot_too(tmp_path: Path) -> None:
    into = files(tmp_path)
    into.begin(0, HERE, None)
    into.begin_tenants()
    into.finish()
    assert reading(tmp_path).key([bytes(32)]) is None


def test_the_files_are_for_their_owner_and_hold_no_names_beside_them(tmp_path: Path) -> None:
    write(files(tmp_path), keys(3))
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_change_overtakes_the_pages_also_while_they_are_being_read(tmp_path: Path) -> None:
    into, [one, other, third] = files(tmp_path), keys(3)
    write(into, [one, other, third])
    snapshot = reading(tmp_path)
    assert snapshot.key([one.digest]) is not None
    into.note([changed(one, state=KeyState.REVOKED), changed(other, digest=b"n" * 32)])
    snapshot.refresh()
    found = snapshot.key([one.digest])
    assert found is not None
    assert found[0].state is KeyState.REVOKED
    assert snapshot.key([other.digest]) is None  # it has another digest now
    assert snapshot.key([b"n" * 32]) is not None
    assert snapshot.key([third.digest]) is not None
    into.note([changed(other, digest=b"m" * 32)])
    snapshot.refresh()
    assert snapshot.key([b"n" * 32]) is None
    assert snapshot.journal.entries == into.entries == 3


def test_a_tenant_that_changed_is_the_one_of_its_keys(tmp_path: Path) -> None:
    into, [key] = files(tmp_path), [a_key(tenant_id="ten_0")]
    write(into, [key])
    into.note([tenant_entry(row(a_tenant("ten_0", is_suspended=True)))])
    found = reading(tmp_path).key([key.digest])
    assert found is not None
    assert found[1].is_suspended


def test_a_tenant_that_was_deleted_is_so_for_whoever_goes_by_the_snapshot(tmp_path: Path) -> None:
    """D6: also where the key was noted as it was before."""
    into, [key] = files(tmp_path), [a_key(tenant_id="ten_0")]
    write(into, [key])
    gone = deleted(a_tenant("ten_0"), 5.0, "left")
    into.note([tenant_entry(row(gone))])
    found = reading(tmp_path).key([key.digest])
    assert found is not None
    assert found[1] == gone
    assert bound(*found).refusal(0.0) is Reason.KEY_REVOKED


def test_of_what_may_have_changed_nothing_is_known(tmp_path: Path) -> None:
    into, [one, other] = files(tmp_path), keys(2)
    write(into, [one, other])
    into.note([changed(one, name="n"), doubtful_entry(one.key_id, is_key=True)])
    into.note([doubtful_entry(other.tenant_id, is_key=False)])
    snapshot = reading(tmp_path)
    assert snapshot.key([one.digest]) is None
    assert snapshot.key([other.digest]) is None
    assert snapshot.tenant(other.tenant_id) is None


def test_a_long_journal_is_read_in_parts(tmp_path: Path) -> None:
    into, [key] = files(tmp_path), keys(1)
    write(into, [key])
    into.note([changed(key, metadata={"x": "y" * 1_200_000}), changed(key, name="small")])
    into.note([changed(key, name="last")] * 3)
    found = reading(tmp_path).key([key.digest])
    assert found is not None
    assert found[0].name == "last"


def test_new_pages_replace_the_old_ones_under_a_reader(tmp_path: Path) -> None:
    into, [one, other] = files(tmp_path), keys(2)
    write(into, [one])
    snapshot = reading(tmp_path)
    into.begin(9, HERE, None)
    into.note([changed(one, name="noted in both")])
    snapshot.refresh()
    assert snapshot.key([one.digest]) is not None
    into.add_keys([row(one), row(other)])
    into.begin_tenants()
    into.add_tenants([row(each) for each in tenants()])
    into.finish()
    assert into.entries == 0
    snapshot.refresh()
    assert snapshot.key([other.digest]) is not None
    found = snapshot.key([one.digest])
    assert found is not None
    assert found[0].name == "noted in both"
    assert len(list(tmp_path.iterdir())) == 2


def test_pages_that_are_given_up_leave_nothing(tmp_path: Path) -> None:
    into = files(tmp_path)
    write(into, keys(2))
    before = {each.name for each in tmp_path.iterdir()}
    into.begin(8, HERE, None)
    into.abandon()
    assert {each.name for each in tmp_path.iterdir()} == before
    with pytest.raises(Unusable, match="dropped"):
        into.finish()
    with pytest.raises(Unusable, match="dropped"):
        into.add_keys([])


def test_what_is_dropped_is_gone(tmp_path: Path) -> None:
    into = files(tmp_path)
    write(into, keys(2))
    into.begin(8, HERE, None)
    into.drop()
    assert list(tmp_path.iterdir()) == []
    assert into.stamp is None
    into.note([doubtful_entry("key_1", is_key=True)])  # there is nothing to be noted in
    into.drop()
    assert not drop(tmp_path / "keys.snapshot")


def test_whoever_resumes_goes_on_behind_what_was_acknowledged(tmp_path: Path) -> None:
    before, [one, other] = files(tmp_path), keys(2)
    write(before, [one, other])
    before.note([changed(one, name="acknowledged")])
    before.close()
    with journal(tmp_path).open("ab") as file:
        file.write(b"\0\0\0\x20half written")
    after = files(tmp_path)
    after.resume(reading(tmp_path))
    after.note([changed(other, name="next")])
    snapshot = reading(tmp_path)
    assert [snapshot.key([each.digest])[0].name for each in (one, other)] == [  # type: ignore[index]
        "acknowledged",
        "next",
    ]


def test_a_stamp_says_up_to_what_and_when(tmp_path: Path) -> None:
    into = files(tmp_path)
    write(into, keys(1))
    later = Moment(1010.0, 510.0, "b1")
    for forced in (True, False):
        into.confirm(12, later, 519.0, is_forced=forced)
        stamp = reading(tmp_path).journal.stamp
        assert (stamp.revision, stamp.moment, stamp.until) == (12, later, 519.0)


def test_one_half_of_the_stamps_may_be_torn(tmp_path: Path) -> None:
    into = files(tmp_path)
    write(into, keys(1))
    into.confirm(12, HERE, None, is_forced=False)
    into.confirm(13, HERE, None, is_forced=False)
    stamp = into.stamp
    assert stamp is not None
    with journal(tmp_path).open("r+b") as file:
        file.seek(BLOCK_BYTES * (1 + stamp.number % 2))
        file.write(b"torn")
    assert reading(tmp_path).journal.stamp.revision == 12
    with journal(tmp_path).open("r+b") as file:
        file.seek(BLOCK_BYTES)
        file.write(b"torn" * 256)
    with pytest.raises(Unusable, match="has no stamp"):
        reading(tmp_path)


@pytest.mark.parametrize("part", ["pages", "journal"])
def test_any_byte_that_is_changed_is_noticed(tmp_path: Path, part: str) -> None:
    into, [one, other] = files(tmp_path), keys(2)
    write(into, [one, other])
    into.note([changed(one, state=KeyState.REVOKED)])
    into.close()
    path = tmp_path / "keys.snapshot" if part == "pages" else journal(tmp_path)
    whole = path.read_bytes()
    stamps = range(BLOCK_BYTES, 3 * BLOCK_BYTES) if part == "journal" else range(0)
    for place in range(0, len(whole), 7):
        if place in stamps or whole[place] in b" \n":
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Unusable):
            reading(tmp_path).key([one.digest])
    path.write_bytes(whole)
    assert reading(tmp_path).key([one.digest]) is not None


@pytest.mark.parametrize("part", ["pages", "journal"])
def test_whatever_is_cut_off_is_noticed(tmp_path: Path, part: str) -> None:
    into, [one, other] = files(tmp_path), keys(2)
    write(into, [one, other])
    into.note([changed(one, state=KeyState.REVOKED)])
    into.close()
    path = tmp_path / "keys.snapshot" if part == "pages" else journal(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        with pytest.raises(Unusable):
            reading(tmp_path)


def test_a_journal_that_is_cut_off_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    into, [one] = files(tmp_path), keys(1)
    write(into, [one])
    snapshot = reading(tmp_path)
    into.note([changed(one, state=KeyState.REVOKED)])
    os.truncate(journal(tmp_path), journal(tmp_path).stat().st_size - 5)
    with pytest.raises(Unusable, match="cut off"):
        snapshot.refresh()


def test_pages_that_are_cut_off_while_they_are_read_end_no_process(tmp_path: Path) -> None:
    [one] = keys(1)
    write(files(tmp_path), [one])
    snapshot = reading(tmp_path)
    os.truncate(tmp_path / "keys.snapshot", 100)
    with pytest.raises(Unusable, match="cut off"):
        snapshot.key([one.digest])


def test_what_somebody_else_wrote_is_not_believed(tmp_path: Path) -> None:
    write(files(tmp_path), keys(1))
    with pytest.raises(Unusable, match="of another store"):
        reading(tmp_path, store="another")
    with pytest.raises(Unusable, match="signature is wrong"):
        reading(tmp_path, seals(b"q" * 32))
    with pytest.raises(Unusable, match="pepper 'p1', which is not active"):
        reading(tmp_path, seals(b"q" * 32, "p2"))


def test_a_journal_of_another_snapshot_is_not_believed(tmp_path: Path) -> None:
    write(files(tmp_path), keys(1))
    foreign = journal(tmp_path).read_bytes()
    into = files(tmp_path)
    write(into, keys(1))
    mine = journal(tmp_path)
    whole = mine.read_bytes()
    mine.write_bytes(foreign)
    with pytest.raises(Unusable, match="belongs to another one"):
        reading(tmp_path)
    mine.write_bytes(whole[:BLOCK_BYTES] + foreign[BLOCK_BYTES:])
    with pytest.raises(Unusable, match="has no stamp of its own"):
        reading(tmp_path)
    mine.unlink()
    with pytest.raises(Unusable, match="cannot be read"):
        reading(tmp_path)


def test_a_pepper_that_is_still_active_may_have_signed(tmp_path: Path) -> None:
    write(files(tmp_path), keys(1))
    both = Seals(Peppers("p2", {"p1": b"p" * 32, "p2": b"q" * 32}))
    snapshot = reading(tmp_path, both)
    into = Files(tmp_path / "keys.snapshot", lambda: both, "the store")
    into.resume(snapshot)
    into.note([doubtful_entry("key_9", is_key=True)])
    assert reading(tmp_path, both).journal.entries == 1
    write(into, keys(1))
    assert reading(tmp_path, both).pages.seal.pepper_id == "p2"


def test_records_out_of_order_are_refused(tmp_path: Path) -> None:
    into, records = files(tmp_path), keys(2)
    into.begin(7, HERE, None)
    with pytest.raises(Unusable, match="in order"):
        into.add_keys([row(each) for each in reversed(records)])
    into.abandon()


def test_a_snapshot_that_nobody_opened_or_that_is_not_there_cannot_be_asked(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "keys.snapshot", seals, "the store")
    with pytest.raises(Unusable, match="not opened"):
        snapshot.tenant("ten_a")
    with pytest.raises(Unusable, match="there is none"):
        snapshot.refresh()
    write(files(tmp_path), keys(1))
    snapshot.refresh()
    (tmp_path / "keys.snapshot").unlink()
    with pytest.raises(Unusable, match="there is none"):
        snapshot.refresh()
    (tmp_path / "keys.snapshot").mkdir()
    with pytest.raises(Unusable, match="cannot be read"):
        snapshot.refresh()


def test_no_pepper_is_in_the_files(tmp_path: Path) -> None:
    write(files(tmp_path), keys(1))
    assert not [each for each in tmp_path.iterdir() if b"p" * 32 in each.read_bytes()]


async def test_all_that_is_known_can_be_listed_as_it_is_now(tmp_path: Path) -> None:
    into, [one, other, third] = files(tmp_path), keys(3)
    write(into, [one, other, third])
    into.note(
        [
            changed(one, state=KeyState.REVOKED, digest=b"n" * 32),
            doubtful_entry(other.key_id, is_key=True),
            key_entry(row(a_key("key_new", tenant_id="ten_0"))),
            tenant_entry(row(a_tenant("ten_0", is_suspended=True))),
            tenant_entry(row(a_tenant("ten_new"))),
            doubtful_entry("ten_1", is_key=False),
        ]
    )
    records = SnapshotRecords(reading(tmp_path))
    found: list[KeyRecord] = []
    while page := await records.list_keys(after=found[-1].key_id if found else "", limit=1):
        found += page
    assert {key.key_id: key.state for key in found} == {
        one.key_id: KeyState.REVOKED,
        third.key_id: KeyState.ACTIVE,
        "key_new": KeyState.ACTIVE,
    }
    tenants_ = await records.page(Tenant, limit=10)
    assert [(each.tenant_id, each.is_suspended) for each in tenants_] == [
        ("ten_0", True),
        ("ten_2", False),
        ("ten_new", False),
    ]
    assert await records.page(Tenant, after="ten_2", limit=1) == [a_tenant("ten_new")]
    assert await records.page(AdminToken) == []


def test_an_entry_that_is_older_than_the_pages_does_not_count(tmp_path: Path) -> None:
    into = files(tmp_path)
    older, newer = a_key("key_1", tenant_id="ten_0"), a_key("key_1", tenant_id="ten_0")
    older, newer = replace(older, revision=3), replace(newer, revision=5, state=KeyState.REVOKED)
    owner = replace(a_tenant("ten_0"), revision=6)
    write(into, [newer], [owner])
    into.note([key_entry(row(older)), tenant_entry(row(replace(owner, revision=2, name="Old")))])
    found = reading(tmp_path).key([newer.digest])
    assert found is not None
    assert found[0].state is KeyState.REVOKED
    assert found[1].name == owner.name
