from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.domain.redaction import MASK, Redactor
from gateway.telemetry.log import MESSAGE_LENGTH_MAX, LogFormatter, configure

TOKEN = "sk_live_" + "Ab3" * 16
REDACTOR = Redactor([("sk", ("live", "test"))])


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Put the root logger back as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines_as_json(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_with(text: str) -> None:
    raise RuntimeError(text)


def test_json_lines_carry_time_level_logger_and_message() -> None:
    stream = io.StringIO()
    configure("info", is_json=True, redactor=REDACTOR, stream=stream)
    logging.getLogger("gateway.x").info("listening on %s", "127.0.0.1:8080")
    logging.getLogger("gateway.x").debug("unheard")
    (line,) = lines_as_json(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "gateway.x",
        "message": "listening on 127.0.0.1:8080",
    }


@pytest.mark.parametrize("is_json", [True, False])
def test_no_secret_reaches_the_log_in_messages_arguments_or_tracebacks(*, is_json: bool) -> None:
    stream = io.StringIO()
    configure("info", is_json=is_json, redactor=REDACTOR, stream=stream)
    logger = logging.getLogger("gateway.x")
    logger.info("GET /v1?token=abc123 with %r", {"Authorization": f"Bearer {TOKEN}"})
    try:
        fail_with(f"bad key {TOKEN}")
    except RuntimeError:
        logger.exception("lost %s", TOKEN)
    text = stream.getvalue()
    assert TOKEN[8:] not in text
    assert "abc123" not in text
    assert f"bad key sk_live_{MASK}" in text
    assert "fail_with" in text


def test_a_person_reads_one_line_per_message_with_the_traceback_below() -> None:
    stream = io.StringIO()
    configure("debug", is_json=False, redactor=REDACTOR, stream=stream)
    logging.getLogger("gateway.x").warning("odd\nname \x1b[31m", stack_info=True)
    first, second, *_ = stream.getvalue().splitlines()
    assert first.endswith("warning  gateway.x: odd\\x0aname \\x1b[31m")
    assert second.startswith("Stack (most recent call last)")


def test_undecodable_and_endless_messages_are_written_all_the_same() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "a\ud800" + "b" * 20_000, None, None)
    line = json.loads(LogFormatter(REDACTOR, is_json=True).format(record))
    assert line["message"].startswith("a\\ud800bbb")
    assert len(line["message"]) == MESSAGE_LENGTH_MAX


def test_nothing_writes_beside_the_redactor() -> None:
    stream = io.StringIO()
    logging.getLogger().addHandler(logging.NullHandler())
    formatter = configure("info", is_json=True, redactor=REDACTOR, stream=stream)
    assert [handler.formatter for handler in logging.getLogger().handlers] == [formatter]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(f"old {TOKEN}", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines_as_json(stream)
    assert line["logger"] == "py.warnings"
    assert TOKEN not in line["message"]


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", is_json=False, redactor=REDACTOR)
    logging.getLogger("gateway.x").error("broken")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("error    gateway.x: broken\n")
