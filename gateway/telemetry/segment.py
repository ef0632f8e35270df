"""The numbers of one worker in shared memory, so that they outlive it.

Knows how rows and their definitions lie in a segment. It must not know what they count. The worker alone writes, the
supervisor reads, without locks: every number is eight aligned bytes, which the processor writes as a whole, and a row
becomes visible with the count of rows, after its definition is there (its checksum tells a reader that came too early).

The supervisor makes a segment per worker before it starts it (`Segment.create`) and lets it inherit `descriptor`; the
worker, and only it, opens that with `SegmentRows(Segment.attach(descriptor))`. The supervisor reads with
`SegmentReader(segment)`. A replacement gets a segment of its own: the old one is closed once its numbers are taken.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import orjson

from gateway.telemetry.rows import REQUESTS_WIDTH, WIDTHS, Definition, Row

SEGMENT_ROWS: Final = 20_000
"""Rows of requests in each half of a segment: as many as series by default. Memory that is not used is not there."""

_DEFINITION_BYTES: Final = 200
"""Room per definition, on average: names of routes, upstreams and policies may be long, but few are."""

_NUMBER: Final = 8
_ACTIVE, _ROWS = (
    0,
    1,
)  # numbers of the header: which half is written, then the count of rows of each half
_HEADER_BYTES: Final = 64
_PREFIX: Final = struct.Struct("=II")  # of a definition: its length, its checksum


class Segment:
    """Shared memory with a header and two halves, each for `rows_max` rows of requests."""

    __slots__ = ("_memory", "definitions_at", "definitions_end", "descriptor", "header", "numbers")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        size = os.fstat(descriptor).st_size
        self._memory = mmap.mmap(descriptor, size)
        view = memoryview(self._memory)
        rows_max = (size - _HEADER_BYTES) // (2 * _half_bytes(1))
        half = _half_bytes(rows_max)
        definitions = rows_max * _DEFINITION_BYTES
        self.header = view[:_HEADER_BYTES].cast("Q")
        starts = [_HEADER_BYTES, _HEADER_BYTES + half]
        self.numbers = [view[at : at + half - definitions].cast("d") for at in starts]
        self.definitions_at = [at + half - definitions for at in starts]
        self.definitions_end = [at + half for at in starts]

    @classmethod
    def create(cls, rows_max: int = SEGMENT_ROWS) -> Segment:
        """Return a new segment of zeros; `descriptor` can be inherited by a child that it is passed to."""
        descriptor = os.memfd_create("tollhouse-metrics", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _HEADER_BYTES + 2 * _half_bytes(rows_max))
        return cls(descriptor)

    @classmethod
    def attach(cls, descriptor: int) -> Segment:
        """Return the segment that was inherited as `descriptor`."""
        return cls(descriptor)

    def close(self) -> None:
        """Let go of the descriptor; the memory goes when nothing refers to its numbers any more."""
        os.close(self.descriptor)

    def clear(self, half: int, numbers: int, definitions_end: int) -> None:
        """Put what was used of one half back to zeros (the rest would become real memory), then forget its rows."""
        self.numbers[half][:numbers] = memoryview(bytes(numbers * _NUMBER)).cast("d")
        at = self.definitions_at[half]
        self.write(at, bytes(definitions_end - at))
        self.header[_ROWS + half] = 0

    def write(self, at: int, data: bytes) -> None:
        """Put `data` at an offset of the segment."""
        self._memory[at : at + len(data)] = data

    def bytes_at(self, at: int, length: int) -> bytes:
        """Return a copy of `length` bytes."""
        return self._memory[at : at + length]


class SegmentRows:
    """Implements `Rows` in a fresh segment."""

    __slots__ = ("_definition_at", "_half", "_number_at", "_segment")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._begin(0)

    def _begin(self, half: int) -> None:
        self._half = half
        self._number_at = 0
        self._definition_at = self._segment.definitions_at[half]
        self._segment.header[_ACTIVE] = half

    def define(self, definition: Definition) -> Row | None:
        """Return a new row (`Rows`); a reader sees it from now on."""
        segment, half = self._segment, self._half
        payload = orjson.dumps(definition)
        start, stop = self._number_at, self._number_at + WIDTHS[definition[0]]
        end = self._definition_at + _PREFIX.size + len(payload)
        if stop > len(segment.numbers[half]) or end > segment.definitions_end[half]:
            return None
        prefix = _PREFIX.pack(len(payload), zlib.crc32(payload))
        segment.write(self._definition_at, prefix + payload)
        self._number_at, self._definition_at = stop, end
        segment.header[_ROWS + half] += 1
        return segment.numbers[half][start:stop]

    def turn(self) -> bool:
        """Go on in the other half (`Rows`), unless the supervisor has not yet taken what is there."""
        other = 1 - self._half
        if self._segment.header[_ROWS + other]:
            return False
        self._begin(other)
        return True


class SegmentReader:
    """Implements `Reader` for a segment that another process writes."""

    __slots__ = ("_known", "_left_half", "_read_to", "_segment")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._known: list[list[tuple[Definition, int, int]]] = [[], []]
        self._read_to = list(segment.definitions_at)
        self._left_half = -1

    def read(self) -> list[tuple[Definition, Sequence[float]]]:
        """Return all rows of both halves (`Reader`)."""
        return self._read(0) + self._read(1)

    def take(self) -> list[tuple[Definition, Sequence[float]]]:
        """Return the rows of the half that the worker has left (`Reader`).

        Not when that is seen for the first time: what the worker wrote last is surely there the next time.
        """
        left, seen = 1 - self._segment.header[_ACTIVE], self._left_half
        self._left_half = left if self._segment.header[_ROWS + left] else -1
        if self._left_half == -1 or self._left_half != seen:
            return []
        taken = self._read(left)
        self._segment.clear(left, self._known[left][-1][2], self._read_to[left])
        self._known[left].clear()
        self._read_to[left] = self._segment.definitions_at[left]
        self._left_half = -1
        return taken

    def close(self) -> None:
        """Let go of the segment."""
        self._segment.close()

    def _read(self, half: int) -> list[tuple[Definition, Sequence[float]]]:
        self._learn(half)
        numbers = self._segment.numbers[half]
        return [(what, numbers[start:stop].tolist()) for what, start, stop in self._known[half]]

    def _learn(self, half: int) -> None:
        """Read the definitions that have come since."""
        known, at = self._known[half], self._read_to[half]
        for _ in range(self._segment.header[_ROWS + half] - len(known)):
            length, checksum = _PREFIX.unpack(self._segment.bytes_at(at, _PREFIX.size))
            payload = self._segment.bytes_at(at + _PREFIX.size, length)
            if not length or zlib.crc32(payload) != checksum:
                break  # not there yet
            definition = tuple(orjson.loads(payload))
            start = known[-1][2] if known else 0
            known.append((definition, start, start + WIDTHS[definition[0]]))
            at += _PREFIX.size + length
        self._read_to[half] = at


def _half_bytes(rows_max: int) -> int:
    return rows_max * (REQUESTS_WIDTH * _NUMBER + _DEFINITION_BYTES)
