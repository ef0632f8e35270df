from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.export import lines_of, verify_export
from gateway.audit.keeper import Pace
from gateway.audit.signer import Signer, Verifier
from gateway.domain.audit import Checkpoint, Head
from gateway.domain.change import Order
from gateway.ports import Conflict
from tests.audit.trail import ORDER, Trail, signed


async def exported(trail: Trail, since: float | None = None) -> bytes:
    return b"".join([chunk async for chunk in await trail.room.export(ORDER, since)])


def fault_of(raw: bytes, trusted: Verifier | None = None) -> tuple[str, int] | None:
    found = verify_export(raw.splitlines(keepends=True), trusted)[0].fault
    return None if found is None else (found.kind, found.seq)


@pytest.fixture
async def trail(tmp_path: Path) -> Trail:
    return await signed(tmp_path)


async def test_an_export_is_verified_with_nothing_but_itself(trail: Trail) -> None:
    raw = await exported(trail)
    report, fingerprints = verify_export(raw.splitlines(keepends=True))
    assert (report.records, report.first_seq, report.last_seq, report.fault) == (13, 1, 13, None)
    assert (report.checkpoints, report.signed_seq) == (5, 13)  # at 4, 8, 12, 13, and the trailer
    assert fingerprints == trail.room.fingerprints
    assert b"PRIVATE" not in raw
    kinds = [json.loads(line)["kind"] for line in raw.splitlines()]
    assert kinds[0] == "header"
    assert kinds[-1] == "trailer"


async def test_the_hash_of_a_record_is_that_of_the_bytes_that_stand_there(trail: Trail) -> None:
    for line in (await exported(trail)).splitlines():
        if json.loads(line)["kind"] == "record":
            body = line[line.index(b'"record":') + len(b'"record":') : -1]
            assert sha256(body).hexdigest() == json.loads(line)["hash"]


async def test_an_export_tells_of_itself(trail: Trail) -> None:
    await exported(trail)
    last = trail.audit.rows[-1]
    assert last.type == "audit.exported"
    assert last.content()["actor"]["name"] == "ann"
    assert last.content()["reason"] == "an audit"
    assert (await trail.check()).fault is None


async def test_an_export_since_a_time_begins_at_the_checkpoint_before(tmp_path: Path) -> None:
    trail = Trail(tmp_path, Pace(records=2))
    for _ in range(8):
        trail.clock.advance(10)
        await trail.append(1, at=trail.clock.now())
        await trail.keeper.keep()
    since = trail.clock.now() - 25  # after record 5; the checkpoint of record 4 is the last before
    report, _ = verify_export((await exported(trail, since)).splitlines(keepends=True))
    assert (report.first_seq, report.last_seq, report.fault) == (5, 9, None)
    report, _ = verify_export((await exported(trail, 0.0)).splitlines(keepends=True))
    assert (report.first_seq, report.fault) == (1, None)


async def test_an_export_of_a_pruned_chain_begins_where_the_chain_does(trail: Trail) -> None:
    trail.clock.advance(1)
    await trail.room.prune(trail.clock.now(), ORDER)
    report, _ = verify_export((await exported(trail)).splitlines(keepends=True))
    assert (report.first_seq, report.last_seq, report.fault) == (13, 14, None)


async def test_a_chain_that_was_changed_is_not_exported_as_if_it_were_sound(trail: Trail) -> None:
    del trail.audit.rows[-1]
    with pytest.raises(Conflict, match="was changed"):
        await trail.room.export(ORDER)


@pytest.mark.parametrize("gone", [8, 12])
async def test_a_checkpoint_that_was_removed_is_missing_in_the_export_too(
    trail: Trail, gone: int
) -> None:
    del trail.audit.signatures[gone]
    assert fault_of(await exported(trail)) == ("unsigned", gone - 3)


async def test_an_export_from_before_checkpoints_were_counted_is_sound(trail: Trail) -> None:
    trail.keeper.signer = Uncounting(trail.keeper.signer)
    for seq, each in trail.audit.signatures.items():
        trail.audit.signatures[seq] = replace(each, number=0, number_signature=b"")
    raw = await exported(trail)
    assert b"number" not in raw.replace(b'"kind":"record"', b"")
    assert fault_of(raw) is None


class Uncounting(Signer):
    """Signs as gateways did before they counted checkpoints."""

    def __init__(self, signer: Signer) -> None:
        self._key = signer._key

    def sign(self, head: Head, at: float, number: int = 0) -> Checkpoint:
        """Leave the number out."""
        del number
        return super().sign(head, at)


async def test_an_export_under_another_key_than_the_trusted_one_is_found(trail: Trail) -> None:
    raw = await exported(trail)
    assert fault_of(raw, trail.files.verifier()) is None
    assert fault_of(raw, Signer.generate().verifier) == ("forged", 4)


async def test_what_is_no_export_is_said_to_be_none() -> None:
    for raw in (b"", b"{}\n", b"\xff\n", b"[]\n", b'{"kind":"header"}\n', b"x" * 100):
        found = fault_of(raw)
        assert found is not None
        assert found[0] in {"edited", "truncated"}
    assert list(lines_of([b"a\n", b"b"])) == [b"a\n", b"b"]


async def test_a_line_that_stands_elsewhere_is_found(trail: Trail) -> None:
    lines = (await exported(trail)).splitlines(keepends=True)
    assert fault_of(b"".join([lines[0], *lines])) == ("edited", 1)
    assert fault_of(b"".join([*lines, lines[-1]])) == ("edited", 14)
    assert fault_of(b"".join(lines[1:])) == ("edited", 1)
    assert fault_of(b"".join(lines[:-1])) == ("truncated", 14)
    checkpoint = next(line for line in lines if b'"kind":"checkpoint"' in line)
    lines.remove(checkpoint)  # the records are all there, but not every checkpoint
    assert fault_of(b"".join(lines)) == ("unsigned", 1)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
async def test_any_byte_that_is_changed_removed_or_cut_off_is_found(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trail = await signed(tmp_path_factory.mktemp("audit"), records=5, every=2)
    raw = await exported(trail)
    place = data.draw(st.integers(0, len(raw) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "cut", "swap lines"]))
    if how == "change":
        changed = (
            raw[:place] + bytes([raw[place] ^ data.draw(st.integers(1, 255))]) + raw[place + 1 :]
        )
    elif how == "remove":
        changed = raw[:place] + raw[place + 1 :]
    elif how == "cut":
        changed = raw[:place]
    else:
        lines = raw.splitlines(keepends=True)
        number = place % (len(lines) - 1)
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
        changed = b"".join(lines)
    found = verify_export(BytesIO(changed), trail.files.verifier())[0]
    assert found.fault is not None
    if how == "change" and b'"kind":"record"' in (line := _line_at(raw, place)):
        assert found.fault.seq == json.loads(line)["record"]["seq"]


def _line_at(raw: bytes, place: int) -> bytes:
    start = raw.rfind(b"\n", 0, place) + 1
    return raw[start : raw.index(b"\n", place) + 1]


async def test_an_order_without_a_reason_may_export(trail: Trail) -> None:
    chunks = [chunk async for chunk in await trail.room.export(Order(actor=ORDER.actor))]
    assert fault_of(b"".join(chunks)) is None
