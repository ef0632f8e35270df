from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.domain.keys import KeyState
from gateway.stores import sqlite, sqlite_copies
from gateway.stores.migrations import newest, prepare, steps
from gateway.stores.sqlite_lock import shared
from tests.config.sample import HEAD, write
from tests.key_samples import a_key, a_tenant

STORE = "store: {path: data/keys.db}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with sqlite.opened(tmp_path / "data" / "keys.db") as store:
            await store.save_tenant(a_tenant())
            await store.save_key(a_key())

    asyncio.run(fill())
    return write(tmp_path, HEAD + STORE)


def command(config: Path, verb: str, *arguments: str) -> int:
    return main(["db", verb, "--config", str(config), "--output", "json", *arguments])


async def revoke(folder: Path) -> None:
    async with sqlite.opened(folder / "data" / "keys.db") as store:
        key = await store.get_key("key_a")
        assert key is not None
        await store.save_key(a_key(state=KeyState.REVOKED))


def test_a_backup_says_what_it_holds_and_what_to_keep_besides(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = config.parent / "copy.db"
    assert command(config, "backup", str(target)) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["keys"], found["tenants"], found["schema"]) == (1, 1, newest())
    assert found["file"] == str(target)
    assert "peppers" in told.err
    assert command(config, "backup", str(target)) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_restoration_says_what_was_stopped_again_and_what_is_kept(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = config.parent / "copy.db"
    command(config, "backup", str(target))
    asyncio.run(revoke(config.parent))
    capsys.readouterr()
    assert command(config, "restore", str(target), "--reason", "a test") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stopped_again"] == {"keys": 1, "tenants": 0, "admin_tokens": 0, "lost": 0}
    assert Path(told["replaced"]).is_file()
    assert told["keys"] == 1


def test_a_store_that_could_not_be_read_is_warned_of(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = config.parent / "copy.db"
    command(config, "backup", str(target))
    (config.parent / "data" / "keys.db").write_bytes(b"\xa5" * 9000)
    capsys.readouterr()
    assert command(config, "restore", str(target), "--reason", "damaged") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["stopped_again"] is None
    assert "WARNING" in told.err


TAKEN = {"keys": 1, "tenants": 0, "rotations": 0, "links_left": 0, "admin_tokens_left": 0}


@pytest.mark.parametrize(
    ("is_wanted", "is_damaged", "taken", "hint"),
    [
        (True, False, TAKEN, ""),
        (False, False, None, "--with-new-keys takes them over"),
        (True, True, None, "no key was taken over"),
    ],
)
def test_keys_that_were_made_since_are_told_of_and_taken_over_if_that_is_wanted(
    is_wanted: bool,
    is_damaged: bool,
    taken: dict[str, int] | None,
    hint: str,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def add() -> None:
        async with sqlite.opened(config.parent / "data" / "keys.db") as store:
            await store.save_key(a_key("key_new"))

    target = config.parent / "copy.db"
    command(config, "backup", str(target))
    asyncio.run(add())
    if is_damaged:
        (config.parent / "data" / "keys.db").write_bytes(b"\xa5" * 9000)
    capsys.readouterr()
    options = ["--with-new-keys"] if is_wanted else []
    assert command(config, "restore", str(target), "--reason", "a test", *options) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["taken_over"] == taken
    assert hint in told.err


@pytest.mark.parametrize("verb", ["restore", "vacuum", "migrate"])
def test_nothing_is_done_to_a_store_that_is_in_use(
    verb: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = config.parent / "copy.db"
    command(config, "backup", str(target))
    arguments = [str(target), "--reason", "x"] if verb == "restore" else []
    with shared(config.parent / "data" / "keys.db"):
        assert command(config, verb, *arguments) == 1
    assert "stop the gateway" in capsys.readouterr().err


def test_a_reason_is_needed_to_restore(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(config, "restore", "copy.db")
    assert caught.value.code == 2
    assert command(config, "restore", "copy.db", "--reason", " ") == 1
    assert "/reason" in capsys.readouterr().err


def test_rebuilding_and_migrating_say_what_they_did(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = config.parent / "data" / "keys.db"
    assert command(config, "vacuum") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["size"] == store.stat().st_size <= told["size_before"]
    store.unlink()
    prepare(store, steps()[:1])
    assert command(config, "migrate") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema_before"], told["schema"]) == (1, newest())
    assert sqlite_copies.inspect(store).keys == 0


def test_a_configuration_that_cannot_be_used_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "rutes: []\n")
    assert command(path, "vacuum") == 1
    assert "rutes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("backup", "x.db"), ("restore", "x.db", "--reason", "why"), ("vacuum",), ("migrate",)],
)
def test_a_store_in_a_database_is_left_to_the_tools_of_the_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    path = write(tmp_path, HEAD + "store: postgresql://u:hunter2@127.0.0.1:1/d\n")
    assert command(path, *arguments) == 1
    said = capsys.readouterr().err
    assert "pg_dump" in said or "pg_restore" in said
    assert "hunter2" not in said
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]
