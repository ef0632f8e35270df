from __future__ import annotations

import pytest

from gateway.domain.alert_rules.durations import in_words, read_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(90, 90.0), (0.5, 0.5), ("90s", 90.0), ("15m", 900.0), ("12h", 43_200.0), ("7d", 604_800.0),
     ("2w", 1_209_600.0)],
)  # fmt: skip
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(value: object, seconds: float) -> None:
    assert read_seconds(value) == seconds


@pytest.mark.parametrize("value", [True, None, "", "7", "7 d", "-7d", "P7D", "7y", [], "\u0667d"])
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="is no duration: write 90s"):
        read_seconds(value)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.4, "59 seconds"),
        (60, "1 minute"),
        (5400, "2 hours"),
        (3600, "1 hour"),
        (86_400, "1 day"),
        (600_000, "7 days"),
    ],
)
def test_a_person_is_told_the_largest_unit(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
