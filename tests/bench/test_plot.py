from xml.etree import ElementTree as ET

import pytest

from bench.plot import Bar, Bars, Line, Lines, nice_step, page

SVG = "{http://www.w3.org/2000/svg}"


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_a_page_is_well_formed_whatever_the_names_are() -> None:
    root = ET.fromstring(page([Bars("a < b & c", [Bar('"<x>"', 1, "&")])], "<all>"))
    assert texts(root) == ["a < b & c", '"<x>"', "&", "<all>"]


def test_bars_are_as_long_as_their_values() -> None:
    bars = Bars("t", [Bar("a", 10, ""), Bar("b", 5, "", is_ours=True), Bar("c", 0, "")])
    root = ET.fromstring(page([bars], ""))
    found = [r for r in root.iter(f"{SVG}rect") if r.get("class") in ("bar", "ours")]
    widths = [float(r.get("width", "")) for r in found]
    assert widths[1] == pytest.approx(widths[0] / 2, abs=0.1)
    assert widths[2] == 0
    assert [r.get("class") for r in found] == ["bar", "ours", "bar"]


def test_powers_of_ten_are_evenly_spaced_and_more_is_higher() -> None:
    lines = Lines("t", "routes", [Line("a", [(10, 1.0), (100, 1.2), (1000, 1.0)])], (0.9, 1.1))
    root = ET.fromstring(page([lines], ""))
    points = [c for c in root.iter(f"{SVG}circle") if c.get("r") == "3.5"]
    xs, ys = ([float(c.get(axis, "")) for c in points] for axis in ("cx", "cy"))
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys[1] < ys[0] == ys[2]
    assert {"10", "100", "1,000", "routes"} <= set(texts(root))


def test_one_point_can_be_drawn() -> None:
    ET.fromstring(page([Lines("t", "x", [Line("a", [(10, 0.0)])])], ""))


def test_a_chart_can_be_read_on_light_and_on_dark() -> None:
    drawn = page([Bars("t", [])], "")
    assert "prefers-color-scheme: dark" in drawn
    assert 'class="back"' in drawn


def test_a_chart_is_the_same_every_time() -> None:
    lines = Lines("t", "x", [Line("a", [(1, 1.0), (2, 3.0)])])
    assert page([lines], "c") == page([lines], "c")


@pytest.mark.parametrize(("least", "step"), [(0.26, 0.5), (0.2, 0.2), (3, 5), (7, 10), (1, 1)])
def test_steps_of_an_axis_are_round(least: float, step: float) -> None:
    assert nice_step(least) == pytest.approx(step)
