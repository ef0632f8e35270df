"""The dashboards are what the program writes, rely on what exists, and can be laid on a screen."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.__main__ import boards
from deploy.grafana.board import Board, Panel, Query, Row
from tests.deploy.files import GRAFANA, for_promtool
from tests.deploy.promql import breaches, check_all, exported, needs_promtool

pytestmark = pytest.mark.pure  # reads what the repository says, not what is installed

CORE = {"row", "stat", "timeseries", "table", "heatmap", "bargauge", "state-timeline"}
BOARDS = boards()

each_board = pytest.mark.parametrize("name", sorted(BOARDS))


def committed(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((GRAFANA / name).read_text("utf-8"))
    return tree


def expressions(name: str) -> dict[str, str]:
    return {
        f"{panel['id']}{target['refId']}": target["expr"]
        for panel in committed(name)["panels"]
        for target in panel.get("targets", [])
    }


def test_there_is_a_dashboard_for_each_question() -> None:
    assert {path.name for path in GRAFANA.glob("*.json")} == set(BOARDS)
    assert set(BOARDS) == {"overview.json", "keys.json", "upstreams.json"}


@each_board
def test_a_file_is_what_the_program_writes(name: str) -> None:
    assert (GRAFANA / name).read_text("utf-8") == BOARDS[name].json(), "run `make dashboards`"


@each_board
def test_a_query_relies_on_what_the_gateway_exports(name: str) -> None:
    tree = committed(name)
    asked = expressions(name) | {"annotation": tree["annotations"]["list"][0]["expr"]}
    wrong = {key: breaches(expression, exported()) for key, expression in asked.items()}
    assert {key: found for key, found in wrong.items() if found} == {}
    for variable in tree["templating"]["list"][1:]:
        selector, label = variable["definition"][len("label_values(") : -1].rsplit(", ", 1)
        assert breaches(f"count by ({label}) ({selector})", exported()) == []


@needs_promtool
@each_board
def test_every_query_parses(name: str, tmp_path: Path) -> None:
    asked = {key: for_promtool(each) for key, each in expressions(name).items()}
    assert not [each for each in asked.values() if "$" in each]
    check_all(asked, tmp_path)


@each_board
def test_every_query_keeps_to_the_chosen_jobs_and_gateways(name: str) -> None:
    for expression in expressions(name).values():
        selectors = expression.count("{")
        assert expression.count('job=~"$job", instance=~"$instance"') == selectors > 0


@each_board
def test_a_legend_names_labels_that_its_query_keeps(name: str) -> None:
    for panel in BOARDS[name].panels():
        for query in panel.queries:
            for label in query.legend.split("{{")[1:]:
                wanted = label.partition("}}")[0]
                groups = query.expr.partition("by (")[2].partition(")")[0].split(", ")
                assert wanted in groups, f"{panel.title}: {query.legend}"


@each_board
def test_panels_lie_beside_each_other_and_on_the_screen(name: str) -> None:
    places = [panel["gridPos"] for panel in committed(name)["panels"]]
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)


@each_board
def test_panels_are_grafana_s_own_named_once_and_explained(name: str) -> None:
    tree = committed(name)
    assert {panel["type"] for panel in tree["panels"]} <= CORE
    ids = [panel["id"] for panel in tree["panels"]]
    assert len(ids) == len(set(ids))
    for row in BOARDS[name].rows:
        titles = [panel.title for panel in row.panels]
        assert len(titles) == len(set(titles))
    assert all(panel.meaning.endswith(".") for panel in BOARDS[name].panels())


@each_board
def test_the_datasource_is_chosen_above_the_dashboard(name: str) -> None:
    tree = committed(name)
    assert tree["templating"]["list"][0]["type"] == "datasource"
    text = json.dumps(tree)
    assert text.count('"uid": "${datasource}"') == text.count('"type": "prometheus"')
    assert tree["schemaVersion"] >= 39
    assert "id" not in tree  # Grafana gives it; with one it would overwrite another dashboard


@each_board
def test_colours_of_a_number_rise_with_it(name: str) -> None:
    for panel in BOARDS[name].panels():
        steps = panel.defaults.get("thresholds", {}).get("steps", [{"value": None}])
        assert steps[0]["value"] is None
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(values)


def test_a_panel_that_does_not_fit_beside_the_others_goes_below_the_tallest() -> None:
    def panel(width: int, height: int) -> Panel:
        return Panel(
            kind="stat",
            title="t",
            meaning="m.",
            queries=(Query(expr="up"),),
            width=width,
            height=height,
        )

    rows = (
        Row(title="a", panels=(panel(12, 4), panel(12, 9), panel(24, 2))),
        Row(title="b", panels=()),
    )
    board = Board(uid="u", title="t", meaning="m.", variables=(), rows=rows)
    places = [each["gridPos"] for each in json.loads(board.json())["panels"]]
    assert [(place["x"], place["y"]) for place in places] == [
        (0, 0), (0, 1), (12, 1), (0, 10), (0, 12),
    ]  # fmt: skip
