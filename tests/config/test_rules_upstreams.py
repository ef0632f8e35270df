"""Upstreams: targets that are one service, and keys that have an effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.sample import loaded, said


def upstream(rest: str) -> str:
    return f"upstreams: {{u: {{targets: ['http://a'], {rest}}}}}"


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ("affinity: {by: tenant}", "upstreams.u.affinity: has no effect without `balance: hash`"),
        (
            "balance: hash, affinity: {by: header}",
            "upstreams.u.affinity.header: required key is missing (`by: header`)",
        ),
        (
            "balance: hash, affinity: {header: X-A}",
            "upstreams.u.affinity.header: has no effect without `by: header`",
        ),
        (
            "balance: hash, affinity: {load_max: 0.5}",
            "upstreams.u.affinity.load_max: must be 0 or at least 1: with less, nobody could take "
            "the requests",
        ),
        (
            "balance: hash, slow_start: 10s",
            "upstreams.u.slow_start: has no effect with `balance: hash` (a share that grows would "
            "move callers)",
        ),
        (
            "health: {passive: {ejection: 10m}}",
            "upstreams.u.health.passive.ejection_max: must not be shorter than `ejection`",
        ),
        (
            "balance: random",
            "upstreams.u.balance: must be 'round_robin', 'least_outstanding', 'two_choices' or 'hash'",
        ),
        (
            "retry: {'on': [500]}",
            "upstreams.u.retry.on[0]: must be 'reset', 'timeout', 502, 503 or 504",
        ),
        ("retry: {attempts: 0}", "upstreams.u.retry.attempts: must be at least 1"),
        ("retry: {budget: 2}", "upstreams.u.retry.budget: must be at most 1.0"),
        ("retry: {budget: true}", "upstreams.u.retry.budget: is not a number"),
        ("breaker: {statuses: [404]}", "upstreams.u.breaker.statuses[0]: must be at least 500"),
    ],
)
def test_mistake_is_explained(rest: str, line: str, tmp_path: Path) -> None:
    assert said(tmp_path, upstream(rest)) == [line]


@pytest.mark.parametrize(
    "rest",
    [
        "balance: hash, affinity: {by: header, header: X-A, load_max: 1.25}",
        "balance: two_choices, slow_start: 30s",
        "retry: {attempts: 3, on: [reset, timeout, 503], budget: 0}",
        "health: {passive: {failures: 0, statuses: [500, 503]}, panic: refuse}",
        "breaker: {error_ratio: 0.5, window: 5s, min_requests: 10, open: 1s, probes: 1}",
    ],
)
def test_what_fits_together_is_accepted(rest: str, tmp_path: Path) -> None:
    assert said(tmp_path, upstream(rest)) == []


def test_target_may_have_a_weight(tmp_path: Path) -> None:
    text = "upstreams: {u: {targets: ['http://a', {url: 'http://b', weight: 3}]}}"
    targets = loaded(tmp_path, text).upstreams["u"].targets
    assert [(target.url, target.weight) for target in targets] == [("http://a", 1), ("http://b", 3)]


@pytest.mark.parametrize("weight", ["0", "101", "1.5", "x"])
def test_weight_is_a_number_from_1_to_100(weight: str, tmp_path: Path) -> None:
    text = f"upstreams: {{u: {{targets: [{{url: 'http://a', weight: {weight}}}]}}}}"
    (line,) = said(tmp_path, text)
    assert line.startswith("upstreams.u.targets[0].weight: must be ")


def test_share_may_come_from_the_environment(tmp_path: Path) -> None:
    config = loaded(tmp_path, upstream("retry: {budget: '${B}'}"), {"B": "0.5"})
    assert config.upstreams["u"].retry.budget == 0.5


def test_targets_of_an_upstream_are_one_service(tmp_path: Path) -> None:
    text = "upstreams: {u: {targets: ['http://a', 'http://A:80/', 'http+unix:/s', 'http+unix:/s']}}"
    assert said(tmp_path, text) == [
        "upstreams.u.targets[1]: the target 'http://a' is used twice",
        "upstreams.u.targets[3]: the target 'http+unix:/s' is used twice",
    ]
