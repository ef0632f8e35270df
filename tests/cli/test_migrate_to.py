"""`tollhouse db migrate-to`: a deployment moves, and its keys keep working."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.assembly.gateway import opened
from gateway.config.load import load
from gateway.config.model import Config
from tests.assembly.serving import EDGE, ROUTES, add_tenant, ask, mint
from tests.cli.serving import command
from tests.config.sample import HEAD, write
from tests.key_samples import an_order
from tests.postgres import fresh_now
from tests.postgres import postgres as postgres

VARIABLE = "TOLLHOUSE_STORE_URL"


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with fresh_now(postgres, template="template0") as address:
        yield address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path, HEAD + EDGE + ROUTES)


def configured(path: Path) -> Config:
    return load(path, {})


def fill(path: Path) -> tuple[str, str]:
    """Run a gateway on the file; return the secret of a key that works and of one that was revoked."""

    async def work() -> tuple[str, str]:
        async with opened(configured(path), path) as gateway:
            await add_tenant(gateway)
            good, bad = await mint(gateway.keyring), await mint(gateway.keyring)
            await gateway.keyring.revoke_key(bad.record.key_id, an_order("leaked"))
            assert (await ask(gateway.public_address, "/me", good.secret)).status == 200
            return good.secret, bad.secret

    return asyncio.run(work())


def test_a_deployment_moves_and_its_keys_keep_working(
    path: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = fill(path)
    capsys.readouterr()
    assert command("db", "migrate-to", url, "--config", str(path), "--output", "json") == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["rows"]["keys"] == 2
    assert told["audit"] == "intact"
    assert told["audit_records"] == told["rows"]["audit"] == 4
    assert "every row was compared" in said.err
    moved = EDGE.replace(
        "store: {path: keys.db, poll: 50ms}", f"store: {{path: keys.db, url: {url}}}"
    )
    write(tmp_path, HEAD + moved + ROUTES)

    async def work() -> None:
        async with opened(configured(path), path) as gateway:
            assert (await ask(gateway.public_address, "/me", good)).status == 200
            assert (await ask(gateway.public_address, "/me", bad)).status == 401
            assert (await ask(gateway.public_address, "/me", "sk_live_" + "A" * 49)).status == 401
            report = await gateway.audit.verify()
            assert report.fault is None
            another = await mint(gateway.keyring)
            assert (await ask(gateway.public_address, "/me", another.secret)).status == 200
            assert gateway.own.audit_key

    asyncio.run(work())


def test_a_dry_run_keeps_nothing(path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(path)
    for _ in range(2):
        assert command("db", "migrate-to", url, "--config", str(path), "--dry-run") == 0
        assert "nothing was kept" in capsys.readouterr().err
    assert command("db", "migrate-to", url, "--config", str(path)) == 0


def test_a_target_that_is_not_empty_is_refused(
    path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(path)
    assert command("db", "migrate-to", url, "--config", str(path)) == 0
    assert command("db", "migrate-to", url, "--config", str(path)) == 1
    assert "not empty" in capsys.readouterr().err


def test_a_gateway_that_runs_is_stopped_first(
    path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(path)

    async def work() -> int:
        async with opened(configured(path), path):
            arguments = ("db", "migrate-to", url, "--config", str(path))
            return await asyncio.to_thread(command, *arguments)

    assert asyncio.run(work()) == 1
    assert "stop the gateway first" in capsys.readouterr().err


def test_a_trail_that_was_changed_before_moves_as_it_is_and_that_is_told(
    path: Path, url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import sqlite3
    from contextlib import closing

    fill(path)
    with closing(sqlite3.connect(tmp_path / "keys.db")) as file:
        file.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 2")
        file.commit()
    capsys.readouterr()
    assert command("db", "migrate-to", url, "--config", str(path), "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["audit"].startswith(
        "changed before: its column actor"
    )


def test_a_trail_whose_keys_are_missing_is_not_moved(
    path: Path, url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fill(path)
    (tmp_path / "audit.pub").unlink()
    assert command("db", "migrate-to", url, "--config", str(path)) == 1
    assert "cannot be verified" in capsys.readouterr().err


# ---- where the address comes from


@pytest.mark.parametrize("source", ["file", "variable", "configuration"])
def test_the_address_comes_from_where_nobody_else_can_read_it(
    path: Path,
    url: str,
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(path)
    secret = url.replace("postgres@", "postgres:hunter2@")
    arguments = ["db", "migrate-to", "--config", str(path), "--dry-run"]
    if source == "file":
        (tmp_path / "url").write_text(f"{secret}\n")
        arguments += ["--address-file", str(tmp_path / "url")]
    elif source == "variable":
        monkeypatch.setenv(VARIABLE, secret)
    else:
        given = EDGE.replace("store: {path", f"store: {{url: '{secret}', path")
        write(tmp_path, HEAD + given + ROUTES)
    assert command(*arguments) == 0
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (["postgresql://u:hunter2@h/d"], 2, "ADDRESS holds a password"),
        (["postgresql://u@h/d", "--address-file", "x"], 2, "not both"),
        (["--address-file", "nothing"], 2, "cannot be read"),
        (["mysql://u:hunter2@h/d"], 2, "ADDRESS must be an address such as"),
        ([], 2, "give ADDRESS, --address-file or $TOLLHOUSE_STORE_URL"),
        (["postgresql://u@127.0.0.1:1/d"], 3, "postgresql://u@127.0.0.1:1/d"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_it(
    path: Path,
    arguments: list[str],
    status: int,
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(path)
    assert command("db", "migrate-to", *arguments, "--config", str(path)) == status
    said = capsys.readouterr()
    assert why in said.err
    assert "hunter2" not in said.out + said.err


def test_without_a_store_there_is_nothing_to_move(
    path: Path, url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command("db", "migrate-to", url, "--config", str(path)) == 1
    assert "there is no store at" in capsys.readouterr().err
    assert not (tmp_path / "keys.db").exists()


def test_a_configuration_that_is_wrong_is_told(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "version: 2\n")
    assert command("db", "migrate-to", url, "--config", str(path)) == 1
    assert "version" in capsys.readouterr().err
