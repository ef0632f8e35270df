from __future__ import annotations

import pytest

from gateway.domain.denial import VERDICTS
from gateway.domain.status import status_line


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK\r\n"),
        (429, b"HTTP/1.1 429 Too Many Requests\r\n"),
        (599, b"HTTP/1.1 599 \r\n"),
    ],
)
def test_a_status_line_has_its_registered_phrase_or_none(status: int, line: bytes) -> None:
    assert status_line(status) == line


def test_every_reason_has_a_phrase() -> None:
    for verdict in VERDICTS.values():
        assert not status_line(verdict.status).endswith(b" \r\n")
