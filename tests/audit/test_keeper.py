from __future__ import annotations

import logging
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.files import AuditFiles, Unusable
from gateway.audit.keeper import Keeper, Pace
from gateway.audit.signer import NotAKey, Signer, Verifier
from gateway.domain.audit import Head, seal
from gateway.domain.change import ChangeType
from tests.audit.trail import ORDER, Trail, signed
from tests.contracts.audit_trail import a_change


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- files


async def test_the_key_is_made_once_for_the_owner_alone_and_its_public_part_for_all(
    tmp_path: Path,
) -> None:
    trail = await signed(tmp_path / "data")
    files = trail.files
    assert [mode(files.key_path), mode(files.head_path)] == [0o600, 0o600]
    assert mode(files.public_path) == 0o644
    assert files.signer().verifier.fingerprints == trail.keeper.signer.verifier.fingerprints
    assert b"PRIVATE" not in files.public_path.read_bytes() + files.head_path.read_bytes()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "audit.head",
        "audit.key",
        "audit.pub",
    ]


def test_another_key_leaves_the_public_one_of_the_key_before(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path / "audit.key")
    before = files.signer()
    files.key_path.unlink()
    after = files.signer()
    assert files.verifier().fingerprints == [
        *after.verifier.fingerprints,
        *before.verifier.fingerprints,
    ]
    assert files.verifier().signed(before.sign(Head(), 1.0))


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_key_that_is_none_is_named_but_not_repeated(tmp_path: Path, content: bytes) -> None:
    files = AuditFiles(tmp_path / "audit.key")
    files.key_path.write_bytes(content)
    with pytest.raises(Unusable, match=r"audit\.key.*not a private key") as error:
        files.signer()
    assert "AAAA" not in str(error.value)


def test_what_is_no_ed25519_key_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(NotAKey, match="another kind"):
        Signer.of_pem(private)
    with pytest.raises(NotAKey, match="another kind"):
        Verifier.of_pem(public)
    for nothing in (b"", b"x-----END PUBLIC KEY-----"):
        with pytest.raises(NotAKey):
            Verifier.of_pem(nothing)


# ---- signing


async def test_checkpoints_come_after_so_many_records_or_so_much_time(tmp_path: Path) -> None:
    trail = Trail(tmp_path, Pace(seconds=60, records=3))
    await trail.append(2)
    await trail.keeper.keep()
    assert trail.audit.signatures == {}
    await trail.append(1)
    await trail.keeper.keep()
    assert [*trail.audit.signatures] == [3]
    await trail.append(1)
    await trail.keeper.keep()
    trail.clock.advance(59)
    await trail.keeper.keep()
    assert [*trail.audit.signatures] == [3]
    trail.clock.advance(1)
    await trail.keeper.keep()
    assert [*trail.audit.signatures] == [3, 4]
    trail.clock.advance(600)
    await trail.keeper.keep()
    assert [*trail.audit.signatures] == [3, 4]  # nothing new, nothing to sign


async def test_the_head_outside_of_the_store_follows_every_record(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    await trail.keeper.keep()
    head = trail.files.head()
    assert head is not None
    assert head.seq == 0
    await trail.append(2)
    await trail.keeper.keep()
    head = trail.files.head()
    assert head is not None
    assert (head.seq, head.hash) == (2, trail.audit.rows[1].hash)
    assert trail.files.verifier().signed(head)


async def test_the_end_covers_everything_with_a_checkpoint(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    await trail.append(2)
    await trail.keeper.close()
    assert [*trail.audit.signatures] == [2]
    assert (await trail.check()).signed_seq == 2


async def test_each_new_record_is_counted_once_whoever_wrote_it(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    await trail.append(2)
    await trail.keeper.keep()
    await trail.append(1, type=ChangeType.KEY_REVOKED)
    await trail.keeper.keep()
    await trail.keeper.keep()
    assert trail.counted == ["key.created", "key.created", "key.revoked"]
    trail.run()
    await trail.keeper.keep()
    assert len(trail.counted) == 3


async def test_a_restart_goes_on_from_the_signed_head(tmp_path: Path) -> None:
    trail = await signed(tmp_path)
    trail.run()
    await trail.append(2)
    await trail.keeper.keep()
    assert trail.keeper.fault is None
    report = await trail.check()
    assert (report.records, report.fault, report.signed_seq) == (14, None, 14)


# ---- what is never signed


@pytest.mark.parametrize("gone", [(12,), (8, 12)])
async def test_a_trail_that_lost_its_last_checkpoints_is_not_signed_again(
    tmp_path: Path, gone: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A new checkpoint would take the number of the one that is missing."""
    trail = await signed(tmp_path)
    for seq in gone:
        del trail.audit.signatures[seq]
    trail.run()
    await trail.append(4)
    await trail.keeper.keep()
    assert (trail.keeper.fault is not None, caplog.text.count("is not signed any more")) == (
        True,
        1,
    )
    assert 16 not in trail.audit.signatures
    assert await trail.fault() == ("unsigned", gone[0] - 3)


async def test_checkpoints_are_counted_on_from_those_that_others_have_set(tmp_path: Path) -> None:
    trail = await signed(tmp_path)
    first = trail.keeper
    trail.run()
    await trail.append(4)
    await trail.keeper.keep()
    await trail.append(4)
    await first.keep()
    assert [each.number for _, each in sorted(trail.audit.signatures.items())] == [1, 2, 3, 4, 5]
    assert await trail.fault() is None


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_chain_that_lost_its_end_is_not_signed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_running: bool
) -> None:
    trail = await signed(tmp_path)
    head = trail.files.head()
    del trail.audit.rows[-2:]
    if not is_running:
        trail.run()
    await trail.keeper.keep()
    await trail.append(5)
    await trail.keeper.keep()
    await trail.keeper.close()
    assert trail.files.head() == head
    assert trail.keeper.fault is not None
    assert trail.keeper.fault.kind == "truncated"
    assert await trail.fault() == ("rewritten", 9)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1  # said once


async def test_a_record_that_was_rewritten_while_the_gateway_ran_is_not_signed(
    tmp_path: Path,
) -> None:
    trail = await signed(tmp_path)
    last = trail.audit.rows[-1]
    head = Head(last.seq - 1, trail.audit.rows[-2].hash)
    trail.audit.rows[-1] = seal(head, a_change(99))
    await trail.keeper.keep()
    assert trail.keeper.fault is not None
    assert trail.keeper.fault.kind == "rewritten"


async def test_a_new_record_that_does_not_follow_is_not_signed(tmp_path: Path) -> None:
    trail = await signed(tmp_path)
    trail.audit.rows.append(seal(Head(12, bytes(32)), a_change(99)))
    await trail.keeper.keep()
    assert trail.keeper.fault is not None
    assert (trail.keeper.fault.kind, trail.keeper.fault.seq) == ("unlinked", 13)


async def test_a_store_that_was_replaced_is_not_signed(tmp_path: Path) -> None:
    trail = await signed(tmp_path)
    other = await signed(tmp_path / "other")
    trail.audit = other.audit
    trail.run()
    await trail.keeper.keep()
    assert trail.keeper.fault is not None
    assert await trail.fault() == ("forged", 4)


async def test_a_head_file_that_is_missing_leaves_a_trace_in_the_trail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail = await signed(tmp_path, records=8)
    trail.files.head_path.unlink()
    assert await trail.fault() == ("truncated", 9)
    trail.run()
    await trail.keeper.keep()
    assert trail.keeper.fault is None
    assert "cannot be told" in caplog.text
    last = trail.audit.rows[-1]
    assert (last.type, last.content()["after"]["checkpoint_seq"]) == ("audit.restarted", 8)
    assert await trail.fault() is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"seq":"1"}'])
async def test_a_head_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes) -> None:
    trail = await signed(tmp_path)
    trail.files.head_path.write_bytes(content)
    trail.run()
    await trail.keeper.keep()
    assert trail.keeper.fault is not None
    assert trail.keeper.fault.kind == "forged"
    assert await trail.fault() == ("forged", 0)


async def test_a_head_that_somebody_else_signed_is_a_fault(tmp_path: Path) -> None:
    for seq in (0, 12):
        trail = await signed(tmp_path / str(seq))
        head = trail.files.head()
        assert head is not None
        trail.files.write_head(replace(Signer.generate().sign(Head(seq, head.hash), 1.0)))
        trail.run()
        await trail.keeper.keep()
        assert trail.keeper.fault is not None
        assert trail.keeper.fault.kind == "forged"


# ---- several keepers of one trail


def another(trail: Trail, folder: Path, *, signs: bool = False, is_vouched: bool = True) -> Keeper:
    """Return a keeper of the same trail, with the same key and a folder of its own."""
    files = AuditFiles(folder / "audit.key")
    if not files.key_path.exists():
        folder.mkdir(exist_ok=True)
        files.key_path.write_bytes(trail.files.key_path.read_bytes())
    return Keeper(
        trail.audit,
        files,
        files.signer(),
        trail.clock,
        pace=lambda: Pace(records=1),
        signs=lambda: signs,
        is_vouched=lambda: is_vouched,
    )


async def test_who_does_not_sign_checks_everything_and_keeps_a_head_of_its_own(
    tmp_path: Path,
) -> None:
    trail = await signed(tmp_path / "one")
    other = another(trail, tmp_path / "two")
    await other.keep()
    await trail.append(3)
    await other.keep()
    assert other.fault is None
    assert [*trail.audit.signatures] == [4, 8, 12]
    head = other.files.head()
    assert head is not None
    assert head.seq == 15
    await other.close()
    assert [*trail.audit.signatures] == [4, 8, 12]
    trail.change(14, body="{}")
    assert (await other.verify()).fault is not None


async def test_whoever_takes_over_signs_what_waits(tmp_path: Path) -> None:
    trail = await signed(tmp_path / "one")
    await trail.append(2)
    other = another(trail, tmp_path / "two", signs=True)
    await other.keep()
    assert [*trail.audit.signatures] == [4, 8, 12, 14]


@pytest.mark.parametrize("is_vouched", [True, False])
async def test_a_head_that_is_missing_leaves_a_trace_unless_others_have_kept_the_trail(
    tmp_path: Path, is_vouched: bool
) -> None:
    trail = await signed(tmp_path / "one")
    await another(trail, tmp_path / "two", is_vouched=is_vouched).keep()
    told = [record.type for record in trail.audit.rows]
    assert ("audit.restarted" in told) is not is_vouched


async def test_who_was_away_goes_on_behind_what_another_has_let_go(tmp_path: Path) -> None:
    trail = await signed(tmp_path / "one")
    await another(trail, tmp_path / "two").keep()
    await trail.append(8)
    trail.clock.advance(1000)
    await trail.keeper.keep()
    await trail.room.prune(trail.clock.now() + 10**9, ORDER)
    assert trail.audit.rows[0].seq > 12
    back = another(trail, tmp_path / "two")
    await back.keep()
    assert back.fault is None
    assert (await back.verify()).fault is None


async def test_who_was_away_does_not_believe_in_a_beginning_that_nobody_signed(
    tmp_path: Path,
) -> None:
    trail = await signed(tmp_path / "one")
    await another(trail, tmp_path / "two").keep()
    await trail.append(8)
    await trail.keeper.keep()
    del trail.audit.rows[:14]
    back = another(trail, tmp_path / "two")
    await back.keep()
    assert back.fault is not None
