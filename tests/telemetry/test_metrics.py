from __future__ import annotations

import random
import shutil
import subprocess
import tracemalloc
from functools import partial
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.build import BUILD
from gateway.domain.denial import Reason
from gateway.telemetry.families import FAMILIES, Family
from gateway.telemetry.label_values import UPSTREAM_OUTCOMES
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.readings import EXEMPLARS, WATCHED_MAX, Reading
from tests.telemetry.outcomes import make_outcome, make_route
from tests.telemetry.scrape import samples, total, value

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def metrics() -> Metrics:
    return make_metrics()


def make_metrics(**options: Any) -> Metrics:
    known: dict[str, Any] = {
        "version": "0.1.0",
        "revision": "abc",
        "routes": ["jobs.read"],
        "upstreams": ["jobs"],
        "policies": ["pro/minute"],
        "has_process": False,
    }
    return Metrics(**(known | options))


def watch_everything(metrics: Metrics) -> None:
    for family in FAMILIES:
        if family.is_watched:
            metrics.watch(family.name, partial(read_one, family))


def read_one(family: Family) -> Reading:
    return {family.labels: 1.0} if family.labels else 1.0


def use_everything(metrics: Metrics) -> None:
    watch_everything(metrics)
    metrics.record(make_outcome())
    metrics.record(make_outcome(status=429, reason=Reason.RATE_LIMITED, source="gateway"))
    metrics.observe("store_operation_duration_seconds", 0.002, "find")
    metrics.observe("event_loop_lag_seconds", 0.0)
    metrics.count("config_reloads_total", "ok")


def test_a_forwarded_request_is_counted_in_every_family_that_it_concerns(metrics: Metrics) -> None:
    metrics.record(make_outcome())
    metrics.record(make_outcome())
    assert (
        value(
            metrics,
            "requests_total",
            route="jobs.read",
            method="GET",
            code="200",
            source="upstream",
        )
        == 2
    )
    assert value(metrics, "auth_decisions_total", reason="accepted") == 2
    assert value(metrics, "ratelimit_decisions_total", policy="pro/minute", outcome="allowed") == 2
    assert value(metrics, "upstream_requests_total", upstream="jobs", outcome="ok") == 2
    assert value(metrics, "request_bytes_total", route="jobs.read") == 6
    assert value(metrics, "response_bytes_total", route="jobs.read") == 1520
    assert value(metrics, "request_duration_seconds_sum", route="jobs.read") == 0.025
    assert value(metrics, "upstream_request_duration_seconds_count", upstream="jobs") == 2
    assert value(metrics, "overhead_seconds_sum") == pytest.approx(0.0008)


def test_a_duration_on_a_bound_belongs_to_its_bucket_and_buckets_are_cumulative(
    metrics: Metrics,
) -> None:
    for duration in (0.005, 0.0050001, 61.0):
        metrics.record(make_outcome(duration=duration, upstream_duration=0.0))
    found = [
        value(metrics, "request_duration_seconds_bucket", route="jobs.read", le=bound)
        for bound in ("0.005", "0.01", "60.0", "+Inf")
    ]
    assert found == [1, 2, 2, 3]


def test_overhead_never_goes_back_when_the_upstream_seems_to_take_longer_than_the_request(
    metrics: Metrics,
) -> None:
    metrics.record(make_outcome(duration=0.01, upstream_duration=0.02))
    assert value(metrics, "overhead_seconds_sum") == 0
    assert value(metrics, "overhead_seconds_count") == 1


def test_a_request_without_upstream_or_limit_leaves_their_families_alone(metrics: Metrics) -> None:
    metrics.record(
        make_outcome(
            route="__unmatched__",
            status=404,
            reason=Reason.NO_ROUTE,
            source="gateway",
            upstream="",
            policy="",
            upstream_duration=0.0,
        )
    )
    assert total(metrics, "upstream_requests_total") == 0
    assert total(metrics, "ratelimit_decisions_total") == 0
    assert total(metrics, "upstream_request_duration_seconds_count") == 0
    assert value(metrics, "auth_decisions_total", reason="no_route") == 1


def test_a_client_that_left_before_its_answer_was_not_accepted(metrics: Metrics) -> None:
    metrics.record(
        make_outcome(status=0, source="gateway", ended="client_gone", upstream="", policy="")
    )
    assert total(metrics, "auth_decisions_total") == 0
    assert total(metrics, "requests_total") == 1


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (Reason.RATE_LIMITED, "denied"),
        (Reason.QUOTA_EXCEEDED, "denied"),
        (Reason.CONCURRENCY_LIMITED, "denied"),
        (Reason.UPSTREAM_TIMEOUT, "allowed"),
    ],
)
def test_limits_count_what_they_decided(metrics: Metrics, reason: Reason, outcome: str) -> None:
    metrics.record(make_outcome(reason=reason, source="gateway"))
    assert value(metrics, "ratelimit_decisions_total", policy="pro/minute", outcome=outcome) == 1


def test_what_a_share_of_a_limit_let_in_counts_as_degraded(metrics: Metrics) -> None:
    labels = {"policy": "pro/minute"}
    for is_degraded in (False, True, True):
        outcome = make_outcome()
        assert outcome.grant is not None
        outcome.grant.is_degraded = is_degraded
        metrics.record(outcome)
    assert value(metrics, "ratelimit_decisions_total", outcome="allowed", **labels) == 1
    assert value(metrics, "ratelimit_decisions_total", outcome="degraded", **labels) == 2
    refused = make_outcome(reason=Reason.RATE_LIMITED, source="gateway")
    assert refused.grant is not None
    refused.grant.is_degraded = True
    metrics.record(refused)
    assert value(metrics, "ratelimit_decisions_total", outcome="denied", **labels) == 1


@pytest.mark.parametrize(
    ("reason", "ended", "outcome"),
    [
        (None, "complete", "ok"),
        (None, "upstream_broke", "error"),
        (None, "timeout", "timeout"),
        (None, "client_gone", "cancelled"),
        (None, "cut", "cancelled"),
        (None, "never heard of", "error"),
        (Reason.UPSTREAM_UNREACHABLE, "complete", "refused"),
        (Reason.UPSTREAM_BAD_RESPONSE, "complete", "error"),
        (Reason.UPSTREAM_TIMEOUT, "complete", "timeout"),
        (Reason.CIRCUIT_OPEN, "complete", "breaker_open"),
        (Reason.NO_HEALTHY_UPSTREAM, "complete", "no_target"),
        (Reason.BODY_TOO_LARGE, "complete", "cancelled"),
    ],
)
def test_what_became_of_a_request_upstream_is_told(
    metrics: Metrics, reason: Reason | None, ended: str, outcome: str
) -> None:
    metrics.record(make_outcome(reason=reason, ended=ended))
    assert value(metrics, "upstream_requests_total", upstream="jobs", outcome=outcome) == 1
    assert total(metrics, "upstream_requests_total") == 1


def test_closed_label_sets_start_at_zero(metrics: Metrics) -> None:
    found = samples(metrics)
    reasons = {dict(labels)["reason"] for name, labels in found if name == "auth_decisions_total"}
    assert reasons == {"accepted", *(reason.value for reason in Reason)}
    for outcome in UPSTREAM_OUTCOMES:
        assert value(metrics, "upstream_requests_total", upstream="jobs", outcome=outcome) == 0
    for outcome in ("allowed", "denied"):
        labels = {"policy": "pro/minute", "outcome": outcome}
        assert value(metrics, "ratelimit_decisions_total", **labels) == 0
    assert value(metrics, "series_dropped_total", metric="requests_total") == 0


def test_a_counter_that_was_counted_by_nothing_starts_at_zero(metrics: Metrics) -> None:
    metrics.count("upstream_probes_total", "jobs", "ok", amount=0)
    assert value(metrics, "upstream_probes_total", upstream="jobs", outcome="ok") == 0
    assert total(metrics, "upstream_probes_total") == 0
    assert '"__other__"' not in metrics.render()[0].decode()


def test_names_from_outside_are_folded(metrics: Metrics) -> None:
    metrics.record(
        make_outcome(
            route="/etc/passwd", method="BREW", status=999, upstream="u", policy="p", ended="x"
        )
    )
    folded = {"route": "__unmatched__", "method": "OTHER", "code": "__other__"}
    assert value(metrics, "requests_total", source="upstream", **folded) == 1
    assert value(metrics, "upstream_requests_total", upstream="__other__", outcome="error") == 1
    assert value(metrics, "ratelimit_decisions_total", policy="__other__", outcome="allowed") == 1


def test_names_that_a_reload_brings_become_labels_and_old_numbers_stay(metrics: Metrics) -> None:
    metrics.record(make_outcome())
    metrics.record(make_outcome(route="new", upstream="blue", policy="free/day"))
    metrics.declare(routes=["new"], upstreams=["blue"], policies=["free/day"])
    metrics.record(make_outcome(route="new", upstream="blue", policy="free/day"))
    assert value(metrics, "request_bytes_total", route="jobs.read") == 3
    assert value(metrics, "request_bytes_total", route="new") == 3
    assert value(metrics, "upstream_requests_total", upstream="blue", outcome="ok") == 1


@pytest.mark.slow
def test_random_routes_and_methods_leave_series_and_memory_flat(metrics: Metrics) -> None:
    # D10: whatever is requested.
    source = random.Random(10)
    outcome = make_outcome()

    def flood(requests: int) -> None:
        for _ in range(requests):
            outcome.route = make_route(f"/{source.getrandbits(40)}")
            outcome.head.method = f"M{source.getrandbits(40)}"
            metrics.record(outcome)

    flood(1_000)
    series = len(samples(metrics))
    tracemalloc.start()
    try:
        flood(1_000)
        before = tracemalloc.get_traced_memory()[0]
        flood(8_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    flood(90_000)
    assert len(samples(metrics)) == series
    assert grown < 10_000
    assert total(metrics, "requests_total") == 100_000


def test_series_never_exceed_the_budget_and_what_was_folded_is_counted() -> None:
    names = [f"r{number}" for number in range(500)]
    budget = 300
    metrics = make_metrics(routes=names, series_budget=budget)
    for name in names:
        metrics.record(make_outcome(route=name))
    found = samples(metrics)
    fixed = sum(1 for name, _ in found if name in ("series_dropped_total", "build_info"))
    assert len(found) - fixed <= budget
    assert total(metrics, "requests_total") == 500
    assert total(metrics, "request_duration_seconds_count") == 500
    assert value(metrics, "request_duration_seconds_count", route="__other__") > 400
    dropped = value(metrics, "series_dropped_total", metric="request_duration_seconds")
    assert dropped == value(metrics, "request_duration_seconds_count", route="__other__")


def test_combinations_beyond_the_budget_are_counted_but_not_remembered() -> None:
    metrics = make_metrics(series_budget=300)
    for status in range(100, 600):
        metrics.record(make_outcome(status=status))
    assert len(metrics.tally._relayed) <= 300
    assert total(metrics, "requests_total") == 500


def test_a_budget_that_holds_nothing_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="series_budget is too small for"):
        make_metrics(series_budget=20)


def test_watched_metrics_are_read_at_each_scrape(metrics: Metrics) -> None:
    assert ("in_flight_requests", frozenset()) not in samples(metrics)
    numbers = iter([3, 5])
    metrics.watch("in_flight_requests", lambda: next(numbers))
    metrics.watch("keys", lambda: {("active", "live"): 7})
    metrics.watch("access_log_dropped_total", lambda: 2)
    assert value(metrics, "in_flight_requests") == 3
    metrics.watch("in_flight_requests", lambda: 5)
    found = samples(metrics)
    assert found["in_flight_requests", frozenset()] == 5
    assert found["keys", frozenset({("state", "active"), ("environment", "live")})] == 7
    assert found["access_log_dropped_total", frozenset()] == 2


def test_a_watched_metric_with_too_many_label_sets_is_cut_and_counted(metrics: Metrics) -> None:
    metrics.watch("open_streams", lambda: {(f"k{n}",): 1 for n in range(WATCHED_MAX + 5)})
    assert total(metrics, "open_streams") == WATCHED_MAX
    assert value(metrics, "series_dropped_total", metric="open_streams") >= 5


def test_a_broken_owner_hides_only_its_own_metric(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Reading:
        raise RuntimeError("no numbers today")

    metrics.watch("connections", broken)
    metrics.watch("keys", lambda: {("active",): 1})
    metrics.watch("store_up", lambda: True)
    assert value(metrics, "store_up") == 1
    assert "the metric connections could not be read" in caplog.text
    assert "keys wants a value for each of ('state', 'environment')" in caplog.text
    assert total(metrics, "keys") == 0


def test_wrong_names_and_labels_are_refused_where_they_are_wired(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="no watched metric is called nope"):
        metrics.watch("nope", lambda: 1)
    with pytest.raises(ValueError, match="no watched metric is called requests_total"):
        metrics.watch("requests_total", lambda: 1)
    with pytest.raises(ValueError, match="no counter is called overhead_seconds"):
        metrics.count("overhead_seconds")
    with pytest.raises(ValueError, match="no histogram is called nope"):
        metrics.observe("nope", 1.0)
    with pytest.raises(ValueError, match="config_reloads_total wants a value for each of"):
        metrics.count("config_reloads_total")


def test_every_declared_metric_is_exported_with_its_type_labels_and_meaning(
    metrics: Metrics,
) -> None:
    use_everything(metrics)
    exported = {family.name: family for family in parse_text(metrics.render()[0].decode())}
    assert set(exported) == {f"tollhouse_{parsed_name(family)}" for family in FAMILIES}
    for family in FAMILIES:
        found = exported[f"tollhouse_{parsed_name(family)}"]
        assert found.type == ("gauge" if family.kind == "info" else family.kind)
        assert found.documentation == family.meaning
        for sample in found.samples:
            assert set(sample.labels) - {"le"} == set(family.labels)


def parsed_name(family: Family) -> str:
    return family.name.removesuffix("_total") if family.kind == "counter" else family.name


def test_text_is_negotiated_and_both_formats_parse(metrics: Metrics) -> None:
    use_everything(metrics)
    text, text_type = metrics.render("")
    assert text_type.startswith("text/plain; version=0.0.4")
    openmetrics, openmetrics_type = metrics.render(OPENMETRICS)
    assert openmetrics_type.startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.endswith(b"# EOF\n")
    assert len(list(parse_text(text.decode()))) == len(FAMILIES)
    families = list(parse_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call]
    assert len(families) == len(FAMILIES)


def test_the_build_and_the_process_are_told() -> None:
    metrics = make_metrics(has_process=True, namespace="gate")
    text = metrics.render()[0].decode()
    assert f'gate_build_info{{build="{BUILD}",python="3.' in text
    assert 'version="0.1.0"' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: install Debian's prometheus"
)
def test_promtool_finds_nothing_to_complain_about() -> None:
    metrics = make_metrics(has_process=True)
    use_everything(metrics)
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics.render()[0],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_name_that_left_keeps_its_numbers_until_others_need_the_room() -> None:
    metrics = make_metrics(routes=["old"], series_budget=420)
    metrics.record(make_outcome(route="old"))
    metrics.declare(routes=["new"])
    metrics.record(make_outcome(route="old"))  # it began before the reload
    metrics.record(make_outcome(route="new"))
    assert value(metrics, "request_bytes_total", route="old") == 6
    number = 0
    while 'route="old"' in metrics.render()[0].decode():
        number += 1
        assert number < 100
        metrics.declare(routes=[f"r{number}"])
        metrics.record(make_outcome(route=f"r{number}"))
    assert value(metrics, "request_bytes_total", route=f"r{number}") == 3
    assert value(metrics, "series_dropped_total", metric="request_duration_seconds") == 0
    metrics.record(make_outcome(route="old"))
    assert 'route="old"' not in metrics.render()[0].decode()


def test_a_thousand_reloads_that_rename_everything_never_spend_the_budget() -> None:
    metrics = make_metrics(series_budget=2000)
    for number in range(1000):
        names = [f"{number}-{n}" for n in range(3)]
        metrics.declare(routes=names, upstreams=names, policies=names)
        for name in names:
            metrics.record(make_outcome(route=name, upstream=name, policy=name))
    for name in names:
        assert value(metrics, "request_bytes_total", route=name) == 3
        assert value(metrics, "ratelimit_decisions_total", policy=name, outcome="allowed") == 1
    assert value(metrics, "series_dropped_total", metric="requests_total") == 0


# ---- exemplars


def exemplars(metrics: Metrics) -> dict[tuple[str, str], tuple[str, float]]:
    """Return trace and value of each exemplar of the histogram of requests by route and bucket, as OpenMetrics."""
    body, content_type = metrics.render(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    return {
        (sample.labels["route"], sample.labels["le"]): (
            sample.exemplar.labels["trace_id"],
            sample.exemplar.value,
        )
        for family in parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }


def test_a_traced_request_is_the_exemplar_of_its_bucket(metrics: Metrics) -> None:
    metrics.record(make_outcome(duration=0.3))
    metrics.record(make_outcome(duration=0.001))
    metrics.record(make_outcome(duration=99))
    told: Reading = {
        ("jobs.read", "a" * 32): 0.3,
        ("jobs.read", "b" * 32): 99.0,
        ("gone", "c" * 32): 1.0,
    }
    metrics.watch(EXEMPLARS.name, lambda: told)
    assert exemplars(metrics) == {
        ("jobs.read", "0.5"): ("a" * 32, 0.3),
        ("jobs.read", "+Inf"): ("b" * 32, 99.0),
    }


def test_exemplars_are_no_metric_of_their_own_and_not_part_of_the_older_format(
    metrics: Metrics,
) -> None:
    metrics.record(make_outcome(duration=0.3))
    metrics.watch(EXEMPLARS.name, lambda: {("jobs.read", "a" * 32): 0.3})
    body = metrics.render("")[0].decode()
    assert "a" * 32 not in body
    assert "exemplars" not in body
    assert "exemplars" not in metrics.render(OPENMETRICS)[0].decode()


def test_too_many_exemplars_are_no_dropped_series(metrics: Metrics) -> None:
    told: Reading = {("jobs.read", f"{number:032x}"): 0.3 for number in range(WATCHED_MAX + 1)}
    metrics.watch(EXEMPLARS.name, lambda: told)
    assert "exemplars" not in metrics.render("")[0].decode()
