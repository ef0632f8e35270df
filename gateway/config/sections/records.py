"""What is kept of what happened: every request for a while, and the audit trail."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.sections.base import RESTART, Section
from gateway.config.sections.values import Count, Duration, Label, Size

_HOUR = 3600.0
_BYTES_LEAST = 2**20


def _an_hour(seconds: float) -> float:
    if seconds < _HOUR:
        raise ValueError("must be an hour or more: whole files of an hour are removed")
    return seconds


def _a_mebibyte(size: int) -> int:
    if size < _BYTES_LEAST:
        raise ValueError("must be 1MiB or more: whole files are removed")
    return size


Retention = Annotated[Duration, AfterValidator(_an_hour)]


class RequestLog(Section):
    """Every request, also the refused ones, kept to be searched: the lines of the access log, in files of its own."""

    path: Annotated[str, Field(min_length=1), Label("folder or `off`")] = Field(
        "data/requests", json_schema_extra=RESTART
    )
    """Folder, created when missing, readable for the gateway only; `off` keeps nothing. A relative path
    starts at the folder of this file."""
    retention: Retention = 30 * 86_400.0
    """How long requests are kept."""
    bytes_max: Annotated[Size, AfterValidator(_a_mebibyte)] = 10 * 10**9
    """How much room they may take; the oldest leave first. A request takes about 600 bytes."""
    lines_max: Count = Field(32_768, json_schema_extra=RESTART)
    """Requests that wait to be written; further ones are dropped and counted, so that a slow disk never
    slows a request."""
    flush: Duration = 0.25
    """How often waiting requests are written: what a `kill -9` can lose."""
    fsync: Literal["never", "flush"] = Field("never", json_schema_extra=RESTART)
    """Whether what was written is also forced to the disk: with `flush`, a power failure loses no more than a
    `kill -9`; with `never`, it loses what the operating system still holds, some 30 seconds of requests."""


class Audit(Section):
    """The audit trail: a chain of records in the store, under signatures."""

    key: str = Field("", json_schema_extra=RESTART)
    """File of the Ed25519 key that signs the chain, made at the first start. Empty: `audit.key` beside
    the store. Files of the same name with `.pub` and `.head` stand beside it."""
    checkpoint_every: Duration = 60.0
    """How long a record waits at most until a checkpoint covers it."""
    checkpoint_records: Count = 1000
    """How many records wait at most until a checkpoint covers them."""
    retention: Annotated[Duration, AfterValidator(_an_hour)] | None = None
    """How long records are kept. Null keeps them for ever: a record takes about 1 KB."""
