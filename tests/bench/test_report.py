from bench import figures
from bench.growth_report import Curve, Group, Point
from bench.growth_report import markdown as growth_markdown
from bench.report import floods_table, latency_table, main_table
from bench.scaling import Placement
from bench.scaling import Row as ScalingRow
from bench.scaling import report as scaling_report
from tests.bench.samples import pair, report


def test_the_table_tells_throughput_and_cpu_against_plain_nginx() -> None:
    lines = main_table(report()).splitlines()
    assert lines[-1] == (
        "| Tollhouse, everything on | 25,000 | 0.50 | 40.0 us | 2.00 | 100% | 1 MiB | 200 | 0 |"
    )


def test_latency_is_told_as_added() -> None:
    assert "| plain nginx | 200 us | 400 us | 50,000/s |" in latency_table(report())


def test_a_flood_is_told_as_a_share_of_a_forwarded_request() -> None:
    assert floods_table(report()).splitlines()[-1] == "| 401, no key | 10.0 us | 0.25 |"


def test_who_is_missing_is_named_with_the_reason() -> None:
    text = figures.text(report())
    assert "Not measured: Envoy (envoy is not installed)." in text
    assert "Left out: Caddy, because Caddy does not enforce the policy:." in text
    assert "HAProxy lacks a <hat>." in text


def test_the_gateway_is_compared_with_each_other_subject() -> None:
    line = "Tollhouse, everything on against HAProxy: 2.00 times the CPU per request, 0.50 times"
    assert line in figures.text(report())


def test_the_page_fits_its_width_and_shows_the_chart() -> None:
    page = figures.markdown(report())
    assert "](peers.svg)" in page
    prose = [line for line in page.splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) <= 120


def test_loads_that_were_not_run_leave_no_table() -> None:
    partial = report()
    partial.results.floods.clear()
    partial.results.latency, partial.results.steady = {}, {}
    assert "## Floods" not in figures.markdown(partial)
    assert "## Latency" not in figures.markdown(partial)


def test_growth_is_told_beside_the_smallest_size() -> None:
    small, large = [pair(1000, 500)] * 3, [pair(1000, 400)] * 3
    group = Group("routes", "routes", [Curve("routes", [Point(10, small), Point(100, large)])])
    assert "| 100 | 2500.0 us | 1.25 | 400 |" in growth_markdown([group], "facts")


def test_with_too_few_cores_two_workers_are_judged_by_what_a_request_costs() -> None:
    row = ScalingRow("GET", [pair(1000, 800)] * 3, [0.0, 1.0, 3.0])
    text = scaling_report([row], Placement.on([0, 1], 2), 2, "facts")
    assert "0%, 25%, 75%" in text
    assert "1.60 times the throughput" in text.replace("\n", " ")


def test_with_cores_to_spare_the_load_has_its_own() -> None:
    placement = Placement.on([0, 1, 2, 3], 2)
    assert (placement.gateway, placement.load, placement.has_room) == ((0, 1), (2, 3), True)
    assert not Placement.on([0, 1, 2], 2).has_room


def test_figures_of_a_busy_machine_say_so() -> None:
    busy = report()
    assert "NOT TO BE QUOTED" not in figures.text(busy)
    for name in busy.results.works["get1k"]:
        busy.results.works["get1k"][name] = [pair(50_000, 40_000, foreign=0.5)] * 30
    assert "NOT TO BE QUOTED: other processes used 50% of a core" in figures.text(busy)
