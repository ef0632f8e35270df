import pytest

from bench.slices import Pair, added_p50, clean, compared, cpu, median, spread, throughput
from tests.bench.samples import pair, part


def test_ratios_are_those_of_a_pair_not_of_medians() -> None:
    # The host ran at half speed during the second pair; the ratio does not notice.
    pairs = [pair(1000, 500), pair(500, 250), pair(1000, 500)]
    assert median(pairs, throughput) == 0.5
    assert median(pairs, cpu) == 2


def test_a_pair_that_others_disturbed_does_not_count() -> None:
    pairs = [pair(1000, 500)] * 3 + [pair(1000, 10, foreign=0.5)] * 2
    assert len(clean(pairs)) == 3
    assert median(pairs, throughput) == 0.5


def test_a_slice_without_any_answer_is_not_clean() -> None:
    assert not part(0).is_clean


def test_time_that_the_host_took_disturbs_like_a_foreign_process() -> None:
    stolen = part(1000)
    object.__setattr__(stolen, "stolen_share", 0.2)
    assert not Pair(part(1000), stolen).is_clean


def test_with_too_few_clean_pairs_all_count() -> None:
    pairs = [pair(1000, 500), pair(1000, 100, foreign=0.5), pair(1000, 300, foreign=0.5)]
    assert clean(pairs) == pairs
    assert median(pairs, throughput) == 0.3


def test_two_subjects_are_compared_round_by_round_against_their_own_references() -> None:
    # In the second round the host was twice as fast for the second subject only.
    ours = [pair(1000, 500), pair(1000, 500), pair(1000, 500)]
    theirs = [pair(1000, 250), pair(2000, 500), pair(1000, 250)]
    assert compared(ours, theirs, lambda found: found.requests_per_second) == 2


def test_latency_is_what_comes_on_top_of_the_reference() -> None:
    assert added_p50(Pair(part(1, p50=1e-3), part(1, p50=1.25e-3))) == pytest.approx(0.25e-3)


def test_half_of_the_figures_lie_between_the_quartiles() -> None:
    assert spread([pair(100, rate) for rate in (10, 20, 30, 40, 50)], throughput) == (0.2, 0.4)
    assert spread([pair(100, 50)], throughput) == (0.5, 0.5)
