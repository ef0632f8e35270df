"""One contract for all places where rows lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from gateway.telemetry.rows import REQUESTS, WIDTHS, Definition, ListRows, Reader, Rows
from gateway.telemetry.segment import Segment, SegmentReader, SegmentRows

RELOADS: Definition = ("config_reloads_total", "applied")
LAG: Definition = ("event_loop_lag_seconds",)


@dataclass
class Place:
    """A writer and a reader of the same rows."""

    rows: Rows
    reader: Reader

    def read(self) -> dict[Definition, list[float]]:
        return {what: list(numbers) for what, numbers in self.reader.read()}

    def taken(self) -> list[Definition]:
        """Take what was left behind; a reader may wait for its second look."""
        self.reader.take()
        return [what for what, _ in self.reader.take()]


Make = Callable[[int], Place]


@pytest.fixture(params=["list", "segment"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    segments: list[Segment] = []

    def made(rows_max: int) -> Place:
        if request.param == "list":
            rows = ListRows(rows_max)
            return Place(rows, _Patient(rows))
        segment = Segment.create(rows_max)
        segments.append(segment)
        return Place(SegmentRows(Segment.attach(segment.descriptor)), SegmentReader(segment))

    yield made
    for segment in segments:
        segment.close()


class _Patient:
    """Takes at its second look, as the reader of a segment does."""

    def __init__(self, rows: ListRows) -> None:
        self._rows = rows
        self._looks = 0
        self.read = rows.read

    def take(self) -> list[tuple[Definition, Sequence[float]]]:
        self._looks += 1
        return [] if self._looks % 2 else self._rows.take()


def numbers_of(place: Place, definition: Definition) -> list[float]:
    return place.read()[definition]


def test_a_row_is_read_as_it_is_added_to(make: Make) -> None:
    place = make(8)
    row, lag = place.rows.define(RELOADS), place.rows.define(LAG)
    assert row is not None
    assert lag is not None
    row[0] += 1.0
    row[0] += 1.0
    lag[3] += 1.0
    lag[-1] += 0.25
    assert numbers_of(place, RELOADS) == [2.0]
    assert numbers_of(place, LAG) == [0, 0, 0, 1, *[0] * (WIDTHS[LAG[0]] - 5), 0.25]
    lag[-1] += 0.25
    assert numbers_of(place, LAG)[-1] == 0.5


def test_what_was_read_does_not_change_afterwards(make: Make) -> None:
    place = make(8)
    row = place.rows.define(RELOADS)
    assert row is not None
    before = place.read()
    row[0] += 1.0
    assert before == {RELOADS: [0.0]}


def test_labels_may_be_any_text(make: Make) -> None:
    place = make(8)
    definition = (REQUESTS, *('ä\n"\\', "\x00", "", "名" * 40), *("x",) * 5)
    assert place.rows.define(definition) is not None
    assert list(place.read()) == [definition]


def test_rows_are_refused_when_there_is_no_room(make: Make) -> None:
    place = make(3)
    defined = 0
    while place.rows.define((REQUESTS, str(defined), *("x",) * 8)) is not None:
        defined += 1
        assert defined < 100
    assert defined >= 3
    assert len(place.read()) == defined


def test_a_turn_makes_room_and_what_was_counted_stays_until_it_is_taken(make: Make) -> None:
    place = make(3)
    row = place.rows.define(RELOADS)
    assert row is not None
    row[0] += 5.0
    assert place.taken() == []
    assert place.rows.turn()
    again = place.rows.define(LAG)
    assert again is not None
    again[0] += 1.0
    assert numbers_of(place, RELOADS) == [5.0]
    assert place.taken() == [RELOADS]
    assert list(place.read()) == [LAG]
    assert numbers_of(place, LAG)[0] == 1.0


def test_there_is_no_second_turn_before_the_first_was_taken(make: Make) -> None:
    place = make(3)
    for turn in range(5):
        row = place.rows.define(("config_reloads_total", str(turn)))
        assert row is not None
        assert list(row) == [0.0]
        row[0] += turn + 1
        assert place.rows.turn()
        other = place.rows.define(RELOADS)
        assert other is not None
        assert not place.rows.turn()
        assert place.taken() == [("config_reloads_total", str(turn))]
        assert place.rows.turn()
        assert place.taken() == [RELOADS]
    assert place.read() == {}
