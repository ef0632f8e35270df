from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.client import REFUSED, WRONG_USAGE
from gateway.upstreams.overview import ServiceOverview, TargetOverview
from tests.cli.serving import served
from tests.cli.test_keys import Tool
from tests.config.sample import HEAD, write

UP = TargetOverview(
    target="10.0.0.1:80", state="up", why="", seconds=5, weight=1, outstanding=3, idle=2, waiting=0
)
DOWN = TargetOverview(
    target="10.0.0.2:80",
    state="ejected",
    why="10.0.0.2:80: connect timed out",
    seconds=5,
    weight=2,
    outstanding=0,
    idle=0,
    waiting=0,
)
JOBS = ServiceOverview(
    name="jobs",
    is_up=True,
    is_panicking=False,
    breaker="closed",
    balance="round_robin",
    requests=9,
    retries=1,
    ejections=1,
    targets=(UP, DOWN),
)


async def jobs() -> list[ServiceOverview]:
    return [JOBS]


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Tool]:
    with served(tmp_path / "admin.sock", upstreams=jobs) as address:
        yield Tool(address, capsys)


def test_every_target_is_listed_with_its_state_and_why(tool: Tool) -> None:
    (jobs,) = tool("upstreams", "list")
    assert (jobs["name"], jobs["is_up"], jobs["retries"]) == ("jobs", True, 1)
    up, down = jobs["targets"]
    assert (up["target"], up["state"], up["outstanding"], up["idle"]) == ("10.0.0.1:80", "up", 3, 2)
    assert (down["state"], down["why"]) == ("ejected", "10.0.0.2:80: connect timed out")
    assert down["since"].endswith("Z")


def test_table_has_a_line_for_each_target(tool: Tool) -> None:
    tool("upstreams", "list", "--output", "table")
    head, up, down = tool.out.splitlines()
    assert head.split()[:4] == ["UPSTREAM", "BREAKER", "TARGET", "STATE"]
    assert up.split()[:4] == ["jobs", "closed", "10.0.0.1:80", "up"]
    assert down.endswith("10.0.0.2:80: connect timed out")


def test_state_is_not_in_a_file(tool: Tool, tmp_path: Path) -> None:
    config = write(tmp_path, HEAD + "store: {path: keys.db}\n")
    tool("upstreams", "list", "--offline", "--config", str(config), expect=WRONG_USAGE)
    assert "leave --offline out" in tool.err


def test_admin_api_without_a_gateway_has_no_upstreams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "admin.sock") as address:
        Tool(address, capsys)("upstreams", "list", expect=REFUSED)
