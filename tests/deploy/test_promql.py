"""The reader of PromQL sees what it is there to see."""

from __future__ import annotations

from tests.deploy.promql import breaches, uses

KNOWN = {"a_total": {"route", "reason"}, "b_bucket": {"le"}}


def test_names_labels_and_groups_are_found_wherever_they_stand() -> None:
    used = uses(
        'sum by (route) (rate(a_total{route=~"x|y", job!="z"}[5m])) / on (job) group_left (q) b_bucket'
        " > 0 or vector(0) and time() unless c:d_e"
    )
    assert used.metrics == {"a_total", "b_bucket", "c:d_e"}
    assert used.labels == {("a_total", "route"), ("a_total", "job")}
    assert used.groups == {"route", "job", "q"}
    assert used.values == {("route", "x"), ("route", "y"), ("job", "z")}


def test_what_nobody_exports_is_named() -> None:
    assert breaches('sum by (route) (a_total{reason="rate_limited"})', KNOWN) == []
    assert breaches("rate(a_totals[5m])", KNOWN) == ["no metric a_totals"]
    assert breaches('b_bucket{route="x"}', KNOWN) == ["b_bucket has no label route"]
    assert breaches("sum by (rout) (a_total)", KNOWN) == ["nothing has a label rout"]
    assert breaches('a_total{reason=~"rate_limited|ratelimited"}', KNOWN) == [
        "reason is never ratelimited"
    ]
