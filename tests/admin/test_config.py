"""Configurations over the admin API: what is asked for reaches whoever does it, and what came of it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.admin.config import ConfigRoutes
from gateway.config.changes import Change
from gateway.config.planned import Planned
from gateway.config.problems import Problem
from gateway.config.reloading import Reloaded, ReloadRefused
from gateway.domain.change import Actor, Order
from gateway.ports import Conflict
from tests.admin.caller import Caller, serving
from tests.admin.whole import a_plan
from tests.keyring.house import House

DONE = Reloaded(
    generation=7,
    again=5,
    changes=(Change("routes[a]", "added"),),
    version="ab" * 32,
    taken_at=1.0,
)
MISTAKE = Problem(file="c.yaml", line=3, column=9, path="routes", message="must be a list")


class Acts:
    """What can be done, and what was asked for."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.asked: list[str] = []
        self.error: Exception | None = None

    def routes(self) -> ConfigRoutes:
        return ConfigRoutes(self.reload, self.check, roll_back=self.roll_back, plan=self.plan)

    def _done(self, what: str) -> Reloaded:
        self.asked.append(what)
        if self.error is not None:
            raise self.error
        return DONE

    async def reload(self, _: Actor) -> Reloaded:
        return self._done("reload")

    async def check(self) -> Reloaded:
        return self._done("check")

    async def roll_back(self, order: Order) -> Reloaded:
        self.orders.append(order)
        return self._done("rollback")

    async def plan(self, first: int) -> Planned:
        self._done(f"plan {first}")
        return a_plan(DONE)


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
async def call(acts: Acts, tmp_path: Path) -> AsyncIterator[Caller]:
    async with serving(House(), tmp_path / "admin.sock", config=acts.routes()) as call:
        yield call


async def test_a_plan_tells_what_changes_and_for_whom(acts: Acts, call: Caller) -> None:
    told = await call("POST", "/config:plan?limit=5")
    assert acts.asked == ["plan 5"]
    assert (told["result"], told["generation"]) == ("planned", 7)
    assert told["routes"][0]["name"] == "jobs"
    assert told["upstreams"][0]["targets_removed"] == ["http://a:1"]
    assert told["limits"] == [
        {
            "policy": "p/minute",
            "before": "",
            "after": "1 per minute",
            "effect": "shrinks",
            "keys": 1,
        }
    ]
    callers = told["callers"]
    assert (callers["keys"], callers["losing"], callers["gaining"]) == (2, 1, 0)
    assert callers["unseen"] is None
    assert callers["first_losing"] == [
        {
            "key_id": "key_a",
            "name": "A",
            "tenant_id": "ten_a",
            "environment": "live",
            "losses": [{"before": "jobs", "after": None, "reason": "no_route", "missing": []}],
            "gains": [],
        }
    ]


async def test_a_plan_names_a_hundred_keys_unless_it_is_told(acts: Acts, call: Caller) -> None:
    await call("POST", "/config:plan")
    await call("POST", "/config:plan?limit=0", expect=400)
    await call("POST", "/config:plan?first=3", expect=400)
    assert acts.asked == ["plan 100"]


async def test_a_plan_of_a_file_with_mistakes_names_them(acts: Acts, call: Caller) -> None:
    acts.error = ReloadRefused("the configuration has 1 problem", (MISTAKE,))
    told = await call("POST", "/config:plan", expect=422)
    assert told["problems"][0]["line"] == 3


async def test_a_rollback_is_ordered_by_somebody_with_a_reason(acts: Acts, call: Caller) -> None:
    told = await call("POST", "/config:rollback", {"reason": "orders fail"})
    assert (told["result"], told["generation"], told["again"]) == ("rolled_back", 7, 5)
    assert (told["version"], told["taken_at"]) == ("ab" * 32, "1970-01-01T00:00:01Z")
    [order] = acts.orders
    assert (order.actor.kind, order.reason, order.is_dry_run) == ("admin", "orders fail", False)


async def test_a_rollback_without_a_reason_or_with_a_condition_is_refused(
    acts: Acts, call: Caller
) -> None:
    refused = await call("POST", "/config:rollback", {}, expect=422)
    assert refused["errors"][0]["pointer"] == "/reason"
    await call("POST", "/config:rollback", {"reason": "x", "to": 3}, expect=422)
    await call("POST", "/config:rollback", {"reason": "x"}, expect=400, headers={"If-Match": '"3"'})
    assert acts.asked == []


async def test_a_dry_run_of_a_rollback_says_that_it_is_one(acts: Acts, call: Caller) -> None:
    told = await call("POST", "/config:rollback?dry_run=true", {"reason": "x"})
    assert (told["result"], told["dry_run"]) == ("checked", True)
    assert acts.orders[0].is_dry_run


async def test_with_nothing_to_go_back_to_a_rollback_conflicts(acts: Acts, call: Caller) -> None:
    acts.error = Conflict("no other configuration was in force since the start")
    told = await call("POST", "/config:rollback", {"reason": "x"}, expect=409)
    assert "no other configuration" in told["detail"]
