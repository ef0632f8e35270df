"""Which golden files there are and what they should hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.domain.denial import Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.definition import STATUS_TEXTS
from gateway.domain.dialects.render import Dialect
from gateway.domain.reference import example_answer

ROOT = Path(__file__).parent


def path_of(dialect: str, reason: Reason) -> Path:
    return ROOT / dialect / f"{reason.value}.http"


def rendered(dialect: Dialect, reason: Reason) -> bytes:
    """Return what the golden file of `reason` in `dialect` holds."""
    answer = example_answer(dialect, reason)
    status_line = f"HTTP/1.1 {answer.status} {STATUS_TEXTS[answer.status]}".encode()
    fields = [name + b": " + value for name, value in answer.fields]
    return b"\n".join([status_line, *fields, b"", answer.body, b""])


def all_rendered() -> Iterator[tuple[Path, bytes]]:
    for name, definition in DIALECTS.items():
        dialect = Dialect(definition)
        for reason in Reason:
            yield path_of(name, reason), rendered(dialect, reason)
