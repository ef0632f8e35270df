from __future__ import annotations

import pytest

from gateway.admin.moments import moment_of, read_moment
from gateway.admin.problems import BadRequest
from gateway.admin.wire import instant

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", NOW - 86_400),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T09:00:00 01:00", NOW),  # a `+` that nobody encoded
        ("P999999999D", 0.0),
        ("999999999w", None),
        ("0001-01-01T00:00:00+14:00", 0.0),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799.0),
        ("9999-12-31T23:59:59-14:00", 253_402_300_799.0),
        ("2027-01-15T08:00:00", None),
        ("", None),
    ],
)
def test_a_moment_can_be_told_again_however_far_away_it_is(text: str, moment: float | None) -> None:
    if moment is None:
        with pytest.raises(BadRequest):
            moment_of(text, NOW, "since")
        return
    assert moment_of(text, NOW, "since") == moment
    assert instant(round(moment)) is not None
    if text[0].isdigit() and "T" in text:
        assert read_moment({"since": text}, "since") == moment
