"""One JSON line per request, written off the hot path.

Knows the fields of a line and their order. On the hot path an outcome is only queued; `flush`, in a
thread, renders and writes. A full queue or a broken sink loses lines and counts them, and never
holds up a request. It must not know HTTP, nor where lines go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import orjson

from gateway.domain.outcome import Outcome
from gateway.domain.redaction import Redactor
from gateway.ports import Clock
from gateway.telemetry.pace import Pace

QUEUE_MAX: Final = 32_768
"""More than a second of 20,000 requests per second; about 30 MB of outcomes."""

SLICE_LINES: Final = 32
"""Lines per write. Rendering holds the interpreter's lock; each write gives it back to the loop."""

TARGET_LENGTH_MAX: Final = 2_048
USER_AGENT_LENGTH_MAX: Final = 256
DETAIL_LENGTH_MAX: Final = 512
NAME_LENGTH_MAX: Final = 128

_logger = logging.getLogger(__name__)


class AccessLog:
    """Implements `Recorder`. `write` takes whole lines, may block, may raise `OSError`."""

    __slots__ = (
        "_clock", "_flush_lock", "_overflowed", "_pace", "_queue", "_queue_max", "_redact", "_second",
        "_second_text", "_unwritten", "_write",
    )  # fmt: skip

    def __init__(
        self,
        write: Callable[[bytes], None],
        *,
        redactor: Redactor,
        clock: Clock,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._write = write
        self._redact = redactor.redact
        self._clock = clock
        self._pace = Pace(clock)
        self._queue: deque[Outcome] = deque()
        self._queue_max = queue_max
        self._flush_lock = threading.Lock()
        self._second = -1
        self._second_text = ""
        # Two counts with one writer each: the event loop's and the flushing thread's.
        self._overflowed = 0
        self._unwritten = 0

    @property
    def dropped(self) -> int:
        """Lines lost so far: the reading of `access_log_dropped_total`."""
        return self._overflowed + self._unwritten

    def redact_with(self, redactor: Redactor) -> None:
        """Redact with `redactor` from the next line on: the formats of keys have changed."""
        self._redact = redactor.redact

    def __len__(self) -> int:
        """Return how many lines wait to be written."""
        return len(self._queue)

    def record(self, outcome: Outcome) -> None:
        """Queue a finished request (`Recorder`); it must not change any more."""
        queue = self._queue
        if len(queue) < self._queue_max:
            queue.append(outcome)
        else:
            self._overflowed += 1

    def flush(self) -> None:
        """Write all lines that were queued when it was called.

        Blocks as long as the sink does: call it in a thread, every quarter of a second and once at
        the end. Calls in several threads take turns.
        """
        with self._flush_lock:
            remaining = len(self._queue)
            while remaining > 0:
                lines = min(remaining, SLICE_LINES)
                remaining -= lines
                self._write_slice([self._queue.popleft() for _ in range(lines)])

    def _write_slice(self, outcomes: list[Outcome]) -> None:
        offset = self._clock.now() - self._clock.monotonic()
        try:
            self._write(b"".join([self._render(outcome, offset) for outcome in outcomes]))
        except OSError as error:
            self._unwritten += len(outcomes)
            if self._pace.is_due():
                # The traceback of a full disk tells nothing.
                _logger.error(  # noqa: TRY400
                    "the access log cannot be written, lines are lost: %s", error
                )

    def _render(self, outcome: Outcome, offset: float) -> bytes:
        line = self._fields(outcome, offset)
        try:
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError:
            # Lone surrogates: some text came from bytes that are not UTF-8.
            whole = {name: _whole(value) for name, value in line.items()}
            return orjson.dumps(whole, option=orjson.OPT_APPEND_NEWLINE)

    def _fields(self, outcome: Outcome, offset: float) -> dict[str, str | int | float | None]:
        key = outcome.key.record if outcome.key is not None else None
        upstream = outcome.upstream or None
        return {
            "ts": self._timestamp(outcome.started + offset),
            "request_id": self._bytes(outcome.request_id, NAME_LENGTH_MAX),
            "method": self._text(outcome.head.method, NAME_LENGTH_MAX),
            "target": self._bytes(outcome.head.target, TARGET_LENGTH_MAX),
            "route": outcome.route_name,
            "status": outcome.status,
            "reason": None if outcome.reason is None else outcome.reason.value,
            "detail": self._text(outcome.detail, DETAIL_LENGTH_MAX) or None,
            "source": outcome.source,
            "key_id": key.key_id if key else None,
            "tenant_id": key.tenant_id if key else None,
            "environment": key.environment if key else None,
            "client_address": outcome.client_address,
            "peer_address": outcome.peer_address,
            "user_agent": self._bytes(outcome.head.user_agent, USER_AGENT_LENGTH_MAX),
            "duration_ms": round(outcome.duration * 1000, 3),
            "upstream": upstream,
            "upstream_target": outcome.upstream_target or None,
            "upstream_ms": round(outcome.upstream_duration * 1000, 3) if upstream else None,
            "request_bytes": outcome.request_bytes,
            "response_bytes": outcome.response_bytes,
            "ended": outcome.ended,
            "generation": outcome.generation,
        }

    def _bytes(self, raw: bytes, length_max: int) -> str:
        return self._text(raw.decode("utf-8", "backslashreplace"), length_max)

    def _text(self, text: str, length_max: int) -> str:
        # Redacted before it is cut: half a secret no longer looks like one.
        clean = self._redact(text)
        return clean if len(clean) <= length_max else f"{clean[:length_max]}…"

    def _timestamp(self, moment: float) -> str:
        """Return RFC 3339 with milliseconds; requests of one second share the formatting."""
        second, milliseconds = divmod(int(moment * 1000), 1000)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{milliseconds:03d}Z"


def _whole(value: str | float | None) -> str | float | None:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value
