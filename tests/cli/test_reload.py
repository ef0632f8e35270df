"""`tollhouse reload` against an admin API that answers what it is told to."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.admin.config import ConfigRoutes
from gateway.cli import reload
from gateway.config.changes import Change
from gateway.config.planned import Planned
from gateway.config.problems import Problem
from gateway.config.reloading import Reloaded, ReloadRefused
from gateway.domain.change import Actor, Order
from tests.admin.whole import a_plan
from tests.cli.serving import served
from tests.config.sample import HEAD, write

DONE = Reloaded(
    generation=7,
    changes=(Change("routes[a]", "added"), Change("plans.p.rate", "changed")),
    restart=("store.path",),
)
MISTAKE = Problem(
    file="config.yaml", line=3, column=9, path="routes", message="must be a list", hint="a hint"
)


class Attempts:
    """The two acts, and who asked for them."""

    def __init__(self, outcome: Reloaded | ReloadRefused) -> None:
        self.outcome = outcome
        self.asked: list[str] = []

    async def reload(self, actor: Actor) -> Reloaded:
        self.asked.append(f"{actor.kind} {actor.name}".strip())
        if isinstance(self.outcome, ReloadRefused):
            raise self.outcome
        return self.outcome

    async def check(self) -> Reloaded:
        return await self.reload(Actor(kind="check", name=""))

    async def roll_back(self, order: Order) -> Reloaded:
        verb = "tried" if order.is_dry_run else "rollback"
        return await self.reload(Actor(kind=verb, name=order.reason))

    async def plan(self, first: int) -> Planned:
        return a_plan(await self.reload(Actor(kind="plan", name=str(first))))

    def routes(self) -> ConfigRoutes:
        return ConfigRoutes(self.reload, self.check, roll_back=self.roll_back, plan=self.plan)


def command(*arguments: str, verb: str = "reload") -> int:
    parser = argparse.ArgumentParser(prog="tollhouse")
    reload.register(parser.add_subparsers(required=True))
    options = parser.parse_args([verb, *arguments])
    status: int = options.run(options)
    return status


def asked(folder: Path, attempts: Attempts, *arguments: str, verb: str = "reload") -> int:
    with served(folder / "admin.sock", config=attempts.routes()) as address:
        return command("--admin", address, *arguments, verb=verb)


def test_it_prints_what_changed_and_what_waits_for_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = Attempts(DONE)
    assert asked(tmp_path, attempts, "--output", "table") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "+ routes[a]",
        "~ plans.p.rate",
        "! store.path: keeps its value until a restart",
    ]
    assert told.err == "2 changes; generation 7 is in force\n"
    (cause,) = attempts.asked
    assert cause.startswith("admin uid:")


def test_a_program_gets_the_whole_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(tmp_path, Attempts(DONE), "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "result": "applied",
        "generation": 7,
        "changes": [
            {"path": "routes[a]", "change": "added"},
            {"path": "plans.p.rate", "change": "changed"},
        ],
        "restart": ["store.path"],
    }


def test_a_check_takes_nothing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = Attempts(Reloaded(generation=7))
    assert asked(tmp_path, attempts, "--check", "--output", "table") == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "nothing has changed; generation 7 is in force, nothing was taken\n"
    assert attempts.asked == ["check"]


def test_a_refusal_names_every_mistake_with_its_place_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = Attempts(ReloadRefused("the configuration has 1 problem", (MISTAKE,)))
    assert asked(tmp_path, attempts, "--output", "table") == 1
    told = capsys.readouterr()
    assert told.out == "config.yaml:3:9: routes: must be a list (a hint)\n"
    assert "Not reloaded: the configuration has 1 problem." in told.err
    assert asked(tmp_path, attempts, "--output", "json") == 1
    assert refusal(capsys.readouterr().out)["line"] == 3


def refusal(text: str) -> Any:
    answer = json.loads(text)
    assert answer["result"] == "refused"
    (problem,) = answer["problems"]
    return problem


def test_a_file_that_cannot_even_say_whom_to_ask_is_told_in_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, HEAD + "rutes: []\n")
    assert command("--config", str(path), "--output", "json") == 1
    told = capsys.readouterr()
    assert refusal(told.out)["path"] == "rutes"
    assert "was not asked" in told.err


def test_a_gateway_that_does_not_run_cannot_be_reloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, HEAD)
    assert command("--config", str(path)) == 3
    assert "cannot reach the gateway" in capsys.readouterr().err


async def test_query_parameters_are_refused(aiohttp_client: Any) -> None:
    """Somebody who writes `?check=true` must not get a reload."""
    from gateway.admin.app import create_admin_app
    from tests.keyring.house import House

    attempts = Attempts(DONE)
    routes = attempts.routes()
    token = "t" * 32
    app: web.Application = create_admin_app(
        lambda: House().keyring, token=lambda: token, config=routes
    )
    client = await aiohttp_client(app)
    headers = {"Authorization": f"Bearer {token}"}
    answer = await client.post("/admin/v1/config:reload?check=true", headers=headers)
    assert answer.status == 400
    assert (await client.post("/admin/v1/config:reload")).status == 401
    assert attempts.asked == []


def test_a_rollback_says_which_generation_it_is_again_and_that_the_files_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = replace(DONE, again=5, restart=(), version="ab" * 32, taken_at=1.0)
    attempts = Attempts(done)
    arguments = ("--reason", "orders fail", "--output", "table")
    assert asked(tmp_path, attempts, *arguments, verb="rollback") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == ["+ routes[a]", "~ plans.p.rate"]
    assert "generation 7 is in force" in told.err
    since = "in force since 1970-01-01T00:00:01Z (version abababababab) again"
    assert f"that is generation 5, {since}" in told.err
    assert "a restart would begin with them" in told.err
    assert attempts.asked == ["rollback orders fail"]


def test_a_rollback_to_before_the_start_says_since_when_that_was_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = replace(DONE, restart=(), version="cd" * 32, taken_at=2.0)
    arguments = ("--reason", "x", "--output", "table")
    assert asked(tmp_path, Attempts(done), *arguments, verb="rollback") == 0
    told = capsys.readouterr().err
    assert "the configuration from before the start, in force since 1970-01-01T00:00:02Z" in told
    assert "(version cdcdcdcdcdcd)" in told


def test_a_dry_run_of_a_rollback_takes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = Attempts(replace(DONE, again=5))
    arguments = ("--reason", "x", "--dry-run", "--output", "table")
    assert asked(tmp_path, attempts, *arguments, verb="rollback") == 0
    assert "nothing was taken" in capsys.readouterr().err
    assert attempts.asked == ["tried x"]


def test_a_rollback_without_a_reason_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as caught:
        command(verb="rollback")
    assert caught.value.code == 2
