"""What a check finds, and where: every way to change a stored chain behind the gateway's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.signer import Signer
from gateway.domain.audit import AuditRecord, Head, canonical, seal
from gateway.domain.change import ChangeType
from tests.audit.trail import ORDER, Trail, signed
from tests.contracts.audit_trail import a_change


@pytest.fixture
async def trail(tmp_path: Path) -> Trail:
    """Twelve records, checkpoints at 4, 8 and 12, and the signed head."""
    return await signed(tmp_path)


def recomputed(record: AuditRecord, **fields: object) -> AuditRecord:
    """Return the record with another content and the right hash: what somebody with write access does."""
    body = canonical(record.content() | fields)
    return replace(record, body=body, hash=sha256(body.encode()).digest())


async def test_an_untouched_chain_is_sound_throughout(trail: Trail) -> None:
    report = await trail.check()
    assert (report.records, report.first_seq, report.last_seq) == (12, 1, 12)
    assert (report.checkpoints, report.signed_seq, report.fault) == (3, 12, None)


async def test_a_record_that_no_signature_covers_yet_is_told_apart(trail: Trail) -> None:
    await trail.append(2)
    report = await trail.check()
    assert (report.last_seq, report.signed_seq, report.fault) == (14, 12, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "key.revoked"},
        {"tenant_id": "ten_x"},
        {"key_id": "key_x"},
        {"actor": "bob"},
        {"at": 1.0},
        {"body": "{}"},
        {"body": "é"},
        {"hash": bytes(32)},
        {"body": "[]", "hash": sha256(b"[]").digest()},
        {"body": "x", "hash": sha256(b"x").digest()},
    ],
)
async def test_an_edited_column_is_found_in_its_record(
    trail: Trail, fields: dict[str, object]
) -> None:
    trail.change(6, **fields)
    assert await trail.fault() == ("edited", 6)


async def test_a_record_rewritten_with_its_hash_is_found_by_the_next_one(trail: Trail) -> None:
    trail.audit.rows[5] = recomputed(trail.audit.rows[5], reason="another")
    assert await trail.fault() == ("unlinked", 6)
    trail.audit.rows[4] = recomputed(trail.audit.rows[4], prev_hash="00" * 32)
    assert await trail.fault() == ("unlinked", 5)  # record 4 is vouched for by its checkpoint


async def test_a_chain_rewritten_to_its_end_is_found_by_the_next_signature(trail: Trail) -> None:
    head = Head(5, trail.audit.rows[4].hash)
    for index in range(5, 12):
        trail.audit.rows[index] = seal(head, a_change(77))
        head = Head(index + 1, trail.audit.rows[index].hash)
    assert await trail.fault() == ("rewritten", 5)  # from checkpoint 4 to checkpoint 8
    trail.audit.signatures.clear()
    assert await trail.fault() == ("rewritten", 1)  # only the head is left to tell


async def test_a_chain_made_anew_under_another_key_is_found(trail: Trail) -> None:
    forger = Signer.generate()
    trail.audit.rows.clear()
    trail.audit.signatures.clear()
    await trail.append(12)
    await trail.audit.add_checkpoint(forger.sign(await trail.audit.audit_head(), 1.0))
    assert await trail.fault() in {("rewritten", 1), ("forged", 12)}
    trail.files.write_head(forger.sign(await trail.audit.audit_head(), 1.0))
    assert await trail.fault() == ("forged", 12)


async def test_an_older_copy_of_the_store_is_found(trail: Trail) -> None:
    del trail.audit.rows[8:]
    del trail.audit.signatures[12]
    assert await trail.fault() == ("truncated", 9)
    trail.audit.rows.clear()
    trail.audit.signatures.clear()
    assert await trail.fault() == ("truncated", 1)


async def test_a_first_record_of_another_chain_is_found(trail: Trail) -> None:
    trail.audit.rows[0] = recomputed(trail.audit.rows[0], prev_hash="11" * 32)
    assert await trail.fault() == ("replaced", 1)


async def test_an_inserted_record_is_found(trail: Trail) -> None:
    trail.audit.rows.insert(5, trail.audit.rows[5])
    found = await trail.check()
    assert found.fault is not None
    assert (found.fault.kind, found.fault.seq) == ("out_of_order", 6)


@pytest.mark.parametrize(
    "change",
    [{"hash": bytes(32)}, {"signature": bytes(64)}, {"signature": b""}, {"at": 1.0}],
)
async def test_a_forged_checkpoint_is_found(trail: Trail, change: dict[str, object]) -> None:
    trail.audit.signatures[8] = replace(trail.audit.signatures[8], **change)  # type: ignore[arg-type]
    assert await trail.fault() == ("forged", 8)


async def test_a_beginning_that_was_removed_is_told_by_the_trail_or_is_a_fault(
    trail: Trail,
) -> None:
    await trail.audit.prune_audit(5)
    assert await trail.fault() == ("removed", 1)
    await trail.append(1, type=ChangeType.AUDIT_PRUNED, after={"through_seq": 3})
    assert await trail.fault() == ("removed", 1)
    await trail.append(1, type=ChangeType.AUDIT_PRUNED, after={"through_seq": 4})
    report = await trail.check()
    assert (report.fault, report.first_seq, report.records) == (None, 5, 10)


async def test_a_beginning_that_hangs_on_no_checkpoint_is_a_fault(trail: Trail) -> None:
    del trail.audit.rows[:5]
    assert await trail.fault() == ("removed", 1)
    del trail.audit.signatures[4]
    assert await trail.fault() == ("removed", 1)


# ---- checkpoints


@pytest.mark.parametrize("gone", [(4,), (8,), (12,), (4, 8), (8, 12), (4, 8, 12)])
async def test_checkpoints_that_were_removed_alone_are_found_where_they_were(
    trail: Trail, gone: tuple[int, ...]
) -> None:
    for seq in gone:
        del trail.audit.signatures[seq]
    report = await trail.check()
    assert report.fault is not None
    assert (report.fault.kind, report.fault.seq) == ("unsigned", gone[0] - 3)
    assert str(len(gone)) in report.fault.text.replace("a checkpoint is", "1")


async def test_what_removes_a_number_does_not_hide_that_a_checkpoint_was_removed(
    trail: Trail,
) -> None:
    del trail.audit.signatures[4]
    for seq in (8, 12):
        bare = replace(trail.audit.signatures[seq], number=0, number_signature=b"")
        trail.audit.signatures[seq] = bare
    assert await trail.fault() == ("unsigned", 13)  # the head counts them


@pytest.mark.parametrize("fields", [{"number": 1}, {"number": 0}, {"number_signature": b""}])
async def test_a_number_that_was_not_signed_is_found(
    trail: Trail, fields: dict[str, object]
) -> None:
    changed = replace(trail.audit.signatures[8], **fields)  # type: ignore[arg-type]
    trail.audit.signatures[8] = changed
    assert await trail.fault() == ("forged", 8)


async def test_numbers_of_another_checkpoint_do_not_fit(trail: Trail) -> None:
    first, second = trail.audit.signatures[4], trail.audit.signatures[8]
    trail.audit.signatures[8] = replace(
        second, number=first.number, number_signature=first.number_signature
    )
    assert await trail.fault() == ("forged", 8)


def without_numbers(trail: Trail) -> None:
    """Make of it what a gateway left behind that did not count checkpoints yet."""
    for seq, each in trail.audit.signatures.items():
        trail.audit.signatures[seq] = replace(each, number=0, number_signature=b"")
    head = trail.files.head()
    assert head is not None
    trail.files.write_head(replace(head, number=0, number_signature=b""))


async def test_a_chain_from_before_checkpoints_were_counted_is_sound_and_counted_from_now_on(
    trail: Trail,
) -> None:
    without_numbers(trail)
    report = await trail.check()
    assert (report.checkpoints, report.fault) == (3, None)
    trail.run()
    await trail.append(4)
    await trail.keeper.keep()
    assert trail.audit.signatures[16].number == 4
    assert await trail.fault() is None
    del trail.audit.signatures[8]
    assert await trail.fault() == ("unsigned", 13)


async def test_two_that_signed_at_once_are_no_fault(trail: Trail) -> None:
    """One gateway takes over from another that has not noticed yet: both count on from the same checkpoint."""
    await trail.append(2)
    late = trail.audit.rows[12]
    signer = trail.keeper.signer
    await trail.keeper.close()
    twin = signer.sign(Head(late.seq, late.hash), trail.clock.now(), 4)
    trail.audit.signatures[13] = twin
    assert [each.number for _, each in sorted(trail.audit.signatures.items())] == [1, 2, 3, 4, 4]
    assert await trail.fault() is None


async def test_a_pruned_chain_counts_on_from_what_it_hangs_on(trail: Trail) -> None:
    trail.clock.advance(60)
    await trail.append(4)
    await trail.keeper.close()
    await trail.room.prune(trail.clock.now() - 1, ORDER)
    assert min(trail.audit.signatures) == 12
    assert await trail.fault() is None
    trail.run()
    await trail.append(4)
    await trail.keeper.close()
    assert await trail.fault() is None
    del trail.audit.signatures[sorted(trail.audit.signatures)[1]]
    assert await trail.fault() == ("unsigned", 13)


Tampering = Callable[[Trail], int]
"""Changes a stored chain; returns the first record that is not as it was."""


@st.composite
def tamperings(draw: st.DrawFn) -> Tampering:
    kind = draw(st.sampled_from(["byte", "delete", "swap", "truncate", "hash", "row"]))
    one, other, place = draw(
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9999))
    )
    mask = draw(st.integers(1, 127))
    first, second = (
        sorted((one, other)) if one != other else ((1, 2) if one == 1 else (one - 1, one))
    )

    def byte(trail: Trail) -> int:
        body = trail.audit.rows[one - 1].body.encode()
        place_in = place % len(body)
        changed = body[:place_in] + bytes([body[place_in] ^ mask]) + body[place_in + 1 :]
        trail.change(one, body=changed.decode("latin-1"))
        return one

    def digest(trail: Trail) -> int:
        raw = bytearray(trail.audit.rows[one - 1].hash)
        raw[place % 32] ^= mask
        trail.change(one, hash=bytes(raw))
        return one

    def delete(trail: Trail) -> int:
        del trail.audit.rows[one - 1]
        return one

    def truncate(trail: Trail) -> int:
        del trail.audit.rows[one - 1 :]
        for seq in [seq for seq in trail.audit.signatures if seq >= one]:
            del trail.audit.signatures[seq]
        return one

    def swap(trail: Trail) -> int:
        rows = trail.audit.rows
        earlier, later = rows[first - 1], rows[second - 1]
        rows[first - 1], rows[second - 1] = (
            replace(later, seq=earlier.seq),
            replace(earlier, seq=later.seq),
        )
        return first

    def row(trail: Trail) -> int:
        rows = trail.audit.rows
        rows[first - 1], rows[second - 1] = rows[second - 1], rows[first - 1]
        return first

    return {
        "byte": byte, "delete": delete, "swap": swap, "truncate": truncate, "hash": digest, "row": row,
    }[kind]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(tamper=tamperings())
async def test_any_byte_deletion_swap_or_truncation_is_found_where_it_begins(
    tamper: Tampering, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trail = await signed(tmp_path_factory.mktemp("audit"))
    first = tamper(trail)
    found = await trail.fault()
    assert found is not None
    assert found[1] == first


def test_a_body_is_one_canonical_text(tmp_path: Path) -> None:
    body = seal(Head(), a_change(0)).body
    assert canonical(json.loads(body)) == body
