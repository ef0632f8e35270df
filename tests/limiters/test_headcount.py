"""Open connections of each client in one process."""

from __future__ import annotations

import pytest

from gateway.limiters.headcount import MemoryHeadcount
from tests.contracts.headcount import HeadcountContract


class TestMemoryHeadcount(HeadcountContract):
    """Keeps the contract."""

    @pytest.fixture
    def headcount(self) -> MemoryHeadcount:
        return MemoryHeadcount()


def test_nothing_is_remembered_of_who_left() -> None:
    headcount = MemoryHeadcount()
    for _ in range(2):
        assert headcount.enter("192.0.2.1", 2)
    for _ in range(2):
        headcount.leave("192.0.2.1")
    assert headcount.open == {}
