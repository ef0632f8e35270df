"""A request over several places: all or none, whatever comes back from each."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.limits import Claim
from gateway.limiters.redis.split import Split, by_place
from gateway.ports import LimiterUnavailable
from tests.contracts.limiter import claim, concurrency, quota, rate

CLAIMS = (
    claim(rate(limit=60, burst=5), "lineage:a"),
    claim(quota(5), "tenant:t"),
    claim(concurrency(5), "lineage:a"),
)
AWAY = LimiterUnavailable("away")
LINEAGE, TENANT = [1, 100, 2_000_000, 0, 3, 0], [1, 101, 4, 3600]
FULL = [0, 101, 5, 3600]


class Heard:
    def __init__(self) -> None:
        self.finished: list[Any] = []
        self.failed: list[LimiterUnavailable] = []
        self.given_back: list[tuple[list[Claim], Any]] = []
        self.split = Split(
            CLAIMS,
            by_place(CLAIMS),
            self.finished.append,
            self.failed.append,
            lambda claims, reply: self.given_back.append((list(claims), reply)),
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_places_are_owners() -> None:
    assert by_place(CLAIMS) == [[0, 2], [1]]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_all_admit(heard: Heard, order: tuple[int, int]) -> None:
    for place in order:
        assert not heard.finished
        heard.split.answered(place, (LINEAGE, TENANT)[place])
    assert heard.finished == [[1, 101, 2_000_000, 0, 4, 3600, 3, 0]]
    assert not heard.given_back


def test_one_refuses_and_what_the_others_drew_is_given_back(heard: Heard) -> None:
    heard.split.answered(0, LINEAGE)
    heard.split.answered(1, FULL)
    assert heard.finished == [[0, 101, 1_000_000, 0, 5, 3600, 2, 0]]
    assert heard.given_back == [([CLAIMS[0], CLAIMS[2]], LINEAGE)]


def test_one_does_not_answer_and_what_the_others_drew_is_given_back(heard: Heard) -> None:
    heard.split.answered(1, AWAY)
    heard.split.answered(0, LINEAGE)
    assert heard.failed == [AWAY]
    assert not heard.finished
    assert heard.given_back == [([CLAIMS[0], CLAIMS[2]], LINEAGE)]


def test_nobody_answers(heard: Heard) -> None:
    heard.split.answered(1, AWAY)
    heard.split.answered(0, AWAY)
    assert heard.failed == [AWAY]
    assert not heard.given_back
