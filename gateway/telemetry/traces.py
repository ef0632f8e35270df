"""Traced requests that wait to be exported: queued while they end, made into spans and sent beside the event loop.

Knows how many may wait, and what becomes of those for which there is no room or whom the collector does not take:
they are counted, and no request ever waits for them. It must not know what a span says, nor how it is sent.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from gateway.domain.outcome import Outcome
from gateway.domain.trace_context import Spans
from gateway.ports import Clock
from gateway.telemetry.pace import Pace
from gateway.telemetry.spans import SpanData, SpanWriter

SLICE_REQUESTS: Final = 32
"""Requests per export: making their spans holds the interpreter's lock for a few milliseconds."""

EXPORTED: Final = "exported"
DROPPED: Final = "dropped"
FAILED: Final = "failed"

_logger = logging.getLogger(__name__)


class ExportFailed(Exception):
    """The collector did not take spans. The text is for the log."""


Export = Callable[[Sequence[SpanData]], None]
"""Sends spans; blocks for as long as it takes. Raises `ExportFailed`."""


class Traces:
    """Takes what `Generation.traced` is told; `export` is called in a thread. `writer` may be replaced at any time."""

    def __init__(
        self, writer: SpanWriter, export: Export, *, clock: Clock, requests_max: int
    ) -> None:
        self.writer = writer
        self._export = export
        self._clock = clock
        self._requests_max = requests_max
        self._queue: deque[tuple[Outcome, Spans]] = deque()
        self._flush_lock = threading.Lock()
        self._pace = Pace(clock)
        # Counts with one writer each: the event loop's and those of the flushing thread.
        self._dropped = 0
        self._exported = 0
        self._failed = 0

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._queue)

    def record(self, outcome: Outcome, spans: Spans) -> None:
        """Let a finished request wait, if there is room. It must not change any more."""
        if len(self._queue) >= self._requests_max:
            self._dropped += 1
        else:
            self._queue.append((outcome, spans))

    @property
    def counts(self) -> dict[tuple[str, ...], float]:
        """The requests so far by what became of their spans."""
        return {(EXPORTED,): self._exported, (DROPPED,): self._dropped, (FAILED,): self._failed}

    def flush(self) -> None:
        """Export all that waited when it was called, but go on later after a failure.

        Blocks as long as the collector does: call it in a thread. Calls in several threads take turns.
        """
        with self._flush_lock:
            remaining = len(self._queue)
            while remaining > 0:
                count = min(remaining, SLICE_REQUESTS)
                remaining -= count
                if not self._send([self._queue.popleft() for _ in range(count)]):
                    return

    def _send(self, requests: list[tuple[Outcome, Spans]]) -> bool:
        offset = self._clock.now() - self._clock.monotonic()
        made: list[SpanData] = []
        for outcome, spans in requests:
            made += self.writer.spans(outcome, spans, offset)
        try:
            self._export(made)
        except ExportFailed as error:
            self._failed += len(requests)
            if self._pace.is_due():
                _logger.error("traces cannot be exported, spans are lost: %s", error)  # noqa: TRY400
            return False
        self._exported += len(requests)
        return True
