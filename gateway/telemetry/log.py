"""The process's own log: what the operator reads when something breaks.

Knows how a log record becomes one line on stderr (JSON, or plain text for a person) and that every
line, tracebacks included, passes the redactor. It must not know what is worth logging.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

import orjson

from gateway.domain.redaction import Redactor

MESSAGE_LENGTH_MAX: Final = 8_192
TRACEBACK_LENGTH_MAX: Final = 32_768

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class LogFormatter(logging.Formatter):
    """Formats a record as one JSON object, or as one line of text with its traceback below."""

    def __init__(self, redactor: Redactor, *, is_json: bool, worker: int = 0) -> None:
        super().__init__()
        self._worker = worker
        self.redactor = redactor  # replaced when the formats of keys change
        self.is_json = is_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted line(s), without the final line break."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        moment = moment.replace("+00:00", "Z")
        level = record.levelname.lower()
        message = self._clean(record.getMessage())[:MESSAGE_LENGTH_MAX]
        trace = self._clean(self._traceback(record))[-TRACEBACK_LENGTH_MAX:]
        if self.is_json:
            line = {"ts": moment, "level": level, "logger": record.name, "message": message}
            process = {"worker": self._worker} if self._worker else {}
            return orjson.dumps(line | process | ({"traceback": trace} if trace else {})).decode()
        # A line break in a message would let its author write log lines of their own.
        who = f" worker {self._worker}" if self._worker else ""
        line_text = f"{moment} {level:<8}{who} {record.name}: {message.translate(_CONTROLS)}"
        return f"{line_text}\n{trace}" if trace else line_text

    def _traceback(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(parts)

    def _clean(self, text: str) -> str:
        # Surrogates (undecodable file names, say) can be written neither as JSON nor as UTF-8.
        whole = text.encode("utf-8", "backslashreplace").decode()
        return self.redactor.redact(whole)


def configure(
    level: str,
    *,
    is_json: bool,
    redactor: Redactor,
    stream: TextIO | None = None,
    worker: int = 0,
) -> LogFormatter:
    """Send everything that is logged, at `level` or above, to `stream` (stderr), redacted.

    Replaces the handlers of the root logger: nothing may write beside the redactor. Warnings of
    Python go the same way. `worker` is the number of the process that speaks, 0 for the only one or
    the supervisor. Returns what writes the lines.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = LogFormatter(redactor, is_json=is_json, worker=worker)
    handler.setFormatter(formatter)
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return formatter
