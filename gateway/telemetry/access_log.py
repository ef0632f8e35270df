"""One JSON line per request, rendered once for everybody who keeps them, written off the hot path.

While a request is answered its outcome is only queued. It is rendered in the same turn of the event loop, after what
the turn wrote is sent: a batch rendered later, in a thread, would hold the interpreter's lock for milliseconds and be
felt as latency. Each `Outlet` has a queue of its own and a thread that only writes: a full queue or a broken sink loses
lines there and counts them, and never holds up a request or another outlet. It must not know what a line says
(`access_lines`), nor where lines go.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from gateway.domain.outcome import Outcome
from gateway.domain.redaction import Redactor
from gateway.ports import Clock
from gateway.telemetry.access_lines import Lines
from gateway.telemetry.pace import Pace

QUEUE_MAX: Final = 32_768
"""More than a second of 20,000 requests per second; about 15 MB of lines."""

SLICE_LINES: Final = 512
"""Lines per write: what is joined at once holds the interpreter's lock for some microseconds."""

_logger = logging.getLogger(__name__)


class Outlet:
    """Lines that wait for one sink. `write` takes lines, may block, may raise `OSError`."""

    __slots__ = (
        "_flush_lock", "_lines", "_lines_max", "_name", "_overflowed", "_pace", "_unwritten", "_write",
        "is_failing",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[bytes]], None],
        *,
        clock: Clock,
        lines_max: int = QUEUE_MAX,
    ) -> None:
        self._name = name
        self._write = write
        self._pace = Pace(clock)
        self._lines: deque[bytes] = deque()
        self._lines_max = lines_max
        self._flush_lock = threading.Lock()
        # Two counts with one writer each: the event loop's and the flushing thread's.
        self._overflowed = 0
        self._unwritten = 0
        self.is_failing = False
        """Whether the last write failed."""

    @property
    def takes(self) -> bool:
        """Tell whether lines can be expected to be written: there is room for as many as wait, and the sink works."""
        return not self.is_failing and 2 * len(self._lines) < self._lines_max

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self._overflowed + self._unwritten

    def __len__(self) -> int:
        """Return how many lines wait to be written."""
        return len(self._lines)

    def put(self, lines: Sequence[bytes]) -> None:
        """Let `lines` wait, as many as there is room for; the others are lost."""
        room = self._lines_max - len(self._lines)
        if room >= len(lines):
            self._lines.extend(lines)
        else:
            self._lines.extend(lines[: max(0, room)])
            self._overflowed += len(lines) - max(0, room)

    def lose(self, lines: int = 1) -> None:
        """Count lines that were never rendered."""
        self._overflowed += lines

    def flush(self) -> None:
        """Write all lines that waited when it was called.

        Blocks as long as the sink does: call it in a thread, every quarter of a second and once at
        the end. Calls in several threads take turns.
        """
        with self._flush_lock:
            remaining = len(self._lines)
            while remaining > 0:
                lines = min(remaining, SLICE_LINES)
                remaining -= lines
                self._write_slice([self._lines.popleft() for _ in range(lines)])

    def _write_slice(self, lines: list[bytes]) -> None:
        try:
            self._write(lines)
            self.is_failing = False
        except OSError as error:
            self.is_failing = True
            self._unwritten += len(lines)
            if self._pace.is_due():
                # The traceback of a full disk tells nothing.
                _logger.error(  # noqa: TRY400
                    "the %s cannot be written, lines are lost: %s", self._name, error
                )


class AccessLog:
    """Implements `Recorder`; every line goes to all of `outlets`, which may be replaced between two turns.

    `call_soon` is the event loop's: what it is given runs at the end of the turn. `queue_max` bounds one turn.
    """

    __slots__ = ("_call_soon", "_clock", "_lines", "_queue", "_queue_max", "outlets")

    def __init__(
        self,
        outlets: Sequence[Outlet] = (),
        *,
        redactor: Redactor,
        clock: Clock,
        call_soon: Callable[[Callable[[], None]], object],
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self.outlets = tuple(outlets)
        self._call_soon = call_soon
        self._lines = Lines(redactor)
        self._clock = clock
        self._queue: list[Outcome] = []
        self._queue_max = queue_max

    def redact_with(self, redactor: Redactor) -> None:
        """Redact with `redactor` from the next line on: the formats of keys have changed."""
        self._lines = Lines(redactor)

    def record(self, outcome: Outcome) -> None:
        """Queue a finished request (`Recorder`); it must not change any more."""
        queue = self._queue
        if len(queue) >= self._queue_max:
            for outlet in self.outlets:
                outlet.lose()
            return
        queue.append(outcome)
        if len(queue) == 1:
            self._call_soon(self.render)

    def render(self) -> None:
        """Make lines of what is queued and give them to the outlets. Runs in the event loop's thread."""
        outcomes, self._queue = self._queue, []
        offset = self._clock.now() - self._clock.monotonic()
        render = self._lines.render
        lines = [render(outcome, offset) for outcome in outcomes]
        for outlet in self.outlets:
            outlet.put(lines)
