"""An installation whose keys are in a database: the database is asked, and nothing is written there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.assembly.gateway import opened
from gateway.assembly.planning import plan_between
from gateway.cli.checkup import store
from gateway.cli.checkup.finding import Patient
from gateway.cli.doctor import examine
from gateway.config.load import read
from tests.assembly.serving import ROUTES, add_tenant, mint
from tests.config.sample import HEAD, write
from tests.postgres import fresh_now
from tests.postgres import postgres as postgres


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with fresh_now(postgres) as address:
        yield address


def patient(folder: Path, url: str, port: int = 0) -> Patient:
    listeners = (
        f"listeners: {{public: {{bind: '127.0.0.1:0'}}, metrics: {{bind: '127.0.0.1:{port}'}},"
        " admin: {bind: 'unix:run/admin.sock'}}\n"
    )
    path = write(folder, HEAD + f"store: {url}\n" + listeners + ROUTES)
    loaded = read(path, {})
    assert loaded.config is not None, loaded.problems
    return Patient(
        path=path, config=loaded.config, sources=loaded.sources, is_running=False, now=time.time()
    )


def said(of: Patient) -> list[str]:
    return [f"{each.level} {each.text}" for each in store.store(of)]


async def _fill(of: Patient) -> None:
    async with opened(of.config, of.path) as gateway:
        await add_tenant(gateway)
        await mint(gateway.keyring)


def test_keys_in_a_database_are_counted_by_pepper(tmp_path: Path, url: str) -> None:
    of = patient(tmp_path, url)
    asyncio.run(_fill(of))
    assert said(of) == [
        "ok the database can be read: 1 keys in use",
        "ok all are under pepper p1",
        "ok it is not behind what was written before",
    ]


def test_a_database_that_cannot_be_reached_fails(tmp_path: Path) -> None:
    [found] = said(patient(tmp_path, "postgresql://u:hunter2@127.0.0.1:1/d"))
    assert found.startswith("fail store postgresql://u@127.0.0.1:1/d")


def test_a_database_without_a_store_fails_and_stays_without_one(
    tmp_path: Path, postgres: str
) -> None:
    with fresh_now(postgres, template="template0") as empty:
        of = patient(tmp_path, empty)
        for _ in range(2):
            [found] = said(of)
            assert found.startswith("fail")
            assert "it holds no store yet" in found


def test_a_running_gateway_is_known_by_the_register(tmp_path: Path, url: str) -> None:
    of = patient(tmp_path, url)

    def ports(port: int) -> set[str]:
        path = patient(tmp_path, url, port).path
        return {each.level for each in examine(path) if each.check == "ports"}

    async def while_it_runs(port: int) -> set[str]:
        async with opened(of.config, of.path):
            return await asyncio.to_thread(ports, port)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert asyncio.run(while_it_runs(port)) == {"ok"}
        assert ports(port) == {"ok", "fail"}


def test_a_plan_of_two_files_looks_at_the_keys_in_the_database(tmp_path: Path, url: str) -> None:
    of = patient(tmp_path, url)
    asyncio.run(_fill(of))
    plan = asyncio.run(plan_between(of.config, of.config, of.path, first=5))
    assert (plan.callers.keys, plan.callers.unseen) == (1, "")
    away = patient(tmp_path, "postgresql://u:hunter2@127.0.0.1:1/d").config
    unseen = asyncio.run(plan_between(away, away, of.path, first=5)).callers.unseen
    assert "postgresql://u@127.0.0.1:1/d" in unseen
