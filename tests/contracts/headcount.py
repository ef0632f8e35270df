"""What every `Headcount` promises. A subclass `Test...` provides the fixture `headcount`."""

from __future__ import annotations

from gateway.ports import Headcount


class HeadcountContract:
    """The suite."""

    def test_as_many_as_the_maximum_may_be_open_at_once(self, headcount: Headcount) -> None:
        assert [headcount.enter("192.0.2.1", 2) for _ in range(3)] == [True, True, False]
        assert headcount.enter("192.0.2.2", 2)

    def test_who_leaves_makes_room_for_one(self, headcount: Headcount) -> None:
        assert all(headcount.enter("192.0.2.1", 2) for _ in range(2))
        headcount.leave("192.0.2.1")
        assert [headcount.enter("192.0.2.1", 2) for _ in range(2)] == [True, False]

    def test_who_was_refused_was_not_counted(self, headcount: Headcount) -> None:
        assert [headcount.enter("192.0.2.1", 1) for _ in range(3)] == [True, False, False]
        headcount.leave("192.0.2.1")
        assert headcount.enter("192.0.2.1", 1)

    def test_a_changed_maximum_counts_those_that_are_open(self, headcount: Headcount) -> None:
        assert [headcount.enter("192.0.2.1", 2) for _ in range(2)] == [True, True]
        assert [headcount.enter("192.0.2.1", 3) for _ in range(2)] == [True, False]
        assert not headcount.enter("192.0.2.1", 1)

    def test_who_never_came_can_leave(self, headcount: Headcount) -> None:
        headcount.leave("2001:db8::/64")
        assert [headcount.enter("2001:db8::/64", 1) for _ in range(2)] == [True, False]
