from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import VERDICTS, Blame, Reason
from gateway.domain.usage import (
    DURATION_BOUNDS,
    FIELD_OF_GROUP,
    GROUPS,
    ORDERS,
    Interval,
    Measures,
    UsageRow,
    duration_bin,
    is_denied,
)
from tests.usage_samples import DAY, HOUR, KEPT, MINUTE, NOON, measures


def test_intervals_begin_at_multiples_of_their_length() -> None:
    moment = NOON + HOUR + MINUTE + 1.5
    assert [interval.seconds for interval in Interval] == [MINUTE, HOUR, DAY]
    assert Interval.MINUTE.start_of(moment) == NOON + HOUR + MINUTE
    assert Interval.HOUR.start_of(moment) == NOON + HOUR
    assert Interval.DAY.start_of(moment) == NOON - DAY // 2


def test_errors_are_a_sum_of_what_is_kept_apart_iv_20() -> None:
    counted = Measures(requests=10, denied=1, failed=2, upstream_4xx=1, upstream_5xx=1)
    assert counted.errors == 5
    assert counted.error_ratio == 0.5
    assert Measures().error_ratio == 0


def test_refusals_are_denied_or_failed_by_who_is_to_blame_iv_20() -> None:
    for reason in Reason:
        assert is_denied(reason) is (VERDICTS[reason].blame is Blame.CLIENT)
    assert is_denied("one that only a newer version has")
    assert is_denied(Reason.RATE_LIMITED)
    assert not is_denied(Reason.UPSTREAM_TIMEOUT)
    assert not is_denied(Reason.INTERNAL)


def test_measures_add_up_and_peaks_stay() -> None:
    first = measures(
        2, denied=1, limit_used_max=0.5, quota_used_max=0.1, reasons={"rate_limited": 1}
    )
    first.add(
        measures(
            3,
            failed=1,
            upstream_4xx=1,
            upstream_5xx=1,
            request_bytes=7,
            from_browser=1,
            limit_used_max=0.2,
            quota_used_max=0.3,
            durations={20: 1, 25: 2},
            reasons={"rate_limited": 1, "internal": 1},
        )
    )
    assert first == Measures(
        requests=5,
        denied=1,
        failed=1,
        upstream_4xx=1,
        upstream_5xx=1,
        request_bytes=7,
        response_bytes=500,
        duration_total=1.25,
        from_browser=1,
        limit_used_max=0.5,
        quota_used_max=0.3,
        durations={20: 3, 25: 2},
        reasons={"rate_limited": 2, "internal": 1},
    )
    assert first.duration_mean == 0.25
    assert Measures().duration_mean == 0


def test_a_duration_falls_into_the_first_bin_that_holds_it() -> None:
    assert duration_bin(0.0) == 0
    assert duration_bin(DURATION_BOUNDS[3]) == 3
    assert duration_bin(math.nextafter(DURATION_BOUNDS[3], 1)) == 4
    assert duration_bin(1e6) == len(DURATION_BOUNDS)


@given(
    st.lists(st.floats(0.0002, 900.0), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_percentiles_are_off_by_one_bin_at_most_hp_27(seconds: list[float], share: float) -> None:
    counted = Measures()
    for each in seconds:
        number = duration_bin(each)
        counted.durations[number] = counted.durations.get(number, 0) + 1
    exact = sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)]
    assert exact / 1.34 <= counted.percentile(share) <= exact * 1.34


def test_percentiles_of_the_edges() -> None:
    assert Measures().percentile(0.5) == 0
    assert Measures(durations={0: 2}).percentile(0.5) == DURATION_BOUNDS[0] / 2
    assert Measures(durations={len(DURATION_BOUNDS): 1}).percentile(0.5) == DURATION_BOUNDS[-1]
    evenly = Measures(durations={8: 50, 16: 50})
    assert evenly.percentile(0.5) == pytest.approx(DURATION_BOUNDS[8])
    assert evenly.percentile(1.0) == pytest.approx(DURATION_BOUNDS[16])


def test_groups_and_orders_are_fields() -> None:
    row = UsageRow(measures=Measures())
    assert set(GROUPS) == set(FIELD_OF_GROUP)
    assert all(hasattr(row, name) for name in FIELD_OF_GROUP.values())
    assert all(hasattr(row.measures, name) for name in ORDERS)


def test_a_row_knows_its_place_among_others() -> None:
    row = UsageRow(measures=Measures(), start=NOON, key_id="key_a", is_billable=True)
    assert row.place(("time", "key", "billable", "route")) == (NOON, "key_a", 1, "")
    assert row.place(()) == ()


def test_retention_is_told_by_interval() -> None:
    assert [KEPT.seconds(interval) for interval in Interval] == [2 * DAY, 90 * DAY, 730 * DAY]
