from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.keeper import Pace
from gateway.domain.queries import AuditQuery
from gateway.ports import Conflict
from tests.audit.trail import ORDER, Trail, signed
from tests.contracts.audit_trail import a_change


@pytest.fixture
async def trail(tmp_path: Path) -> Trail:
    """A record every ten seconds, a checkpoint every second record."""
    trail = Trail(tmp_path, Pace(records=2))
    for _ in range(6):
        trail.clock.advance(10)
        await trail.append(1, at=trail.clock.now())
        await trail.keeper.keep()
    return trail


async def test_records_are_read_by_query_and_page(trail: Trail) -> None:
    query = AuditQuery(is_newest_first=True)
    assert [each.seq for each in await trail.room.page(query, limit=2)] == [6, 5]
    assert [each.seq for each in await trail.room.page(query, after=5, limit=2)] == [4, 3]


async def test_a_record_of_what_changes_nothing_can_be_added(trail: Trail) -> None:
    await trail.room.append(a_change(9))
    report = await trail.room.verify()
    assert (report.last_seq, report.signed_seq, report.fault) == (7, 7, None)


async def test_pruning_removes_what_is_older_up_to_a_checkpoint_and_says_so(trail: Trail) -> None:
    pruned = await trail.room.prune(trail.clock.now() - 5, ORDER)  # record 5 is older, too
    assert (pruned.records, pruned.through_seq) == (4, 4)
    assert [record.seq for record in trail.audit.rows] == [5, 6, 7]
    told = trail.audit.rows[-1].content()
    assert (told["type"], told["reason"]) == ("audit.pruned", "an audit")
    assert told["after"] == {"from_seq": 1, "through_seq": 4}
    report = await trail.check()
    assert (report.fault, report.first_seq, report.signed_seq) == (None, 5, 7)


async def test_a_chain_can_be_pruned_again_and_again(trail: Trail) -> None:
    for _ in range(3):
        trail.clock.advance(10)
        await trail.room.prune(trail.clock.now(), ORDER)
        assert await trail.fault() is None
    trail.run()
    await trail.keeper.keep()
    assert trail.keeper.fault is None
    assert len(trail.audit.rows) == 1
    assert trail.audit.rows[0].type == "audit.pruned"


async def test_there_may_be_nothing_to_prune(trail: Trail, tmp_path: Path) -> None:
    assert (await trail.room.prune(trail.clock.now() - 600, ORDER)).records == 0
    empty = Trail(tmp_path / "empty")
    assert (await empty.room.prune(empty.clock.now(), ORDER)).records == 0
    assert len(trail.audit.rows) == 6


async def test_a_dry_run_says_what_would_leave_and_leaves_it(trail: Trail) -> None:
    order = replace(ORDER, is_dry_run=True)
    assert (await trail.room.prune(trail.clock.now() - 5, order)).records == 4
    assert len(trail.audit.rows) == 6


async def test_nothing_is_pruned_of_a_chain_that_was_changed(tmp_path: Path) -> None:
    trail = await signed(tmp_path)
    del trail.audit.rows[-1]
    with pytest.raises(Conflict, match="not pruned"):
        await trail.room.prune(trail.clock.now() + 1, ORDER)
    assert len(trail.audit.rows) == 11
    report = await trail.room.verify()
    assert report.fault is not None
    assert report.fault.seq == 12
