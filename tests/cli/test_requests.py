"""Requests that are new to somebody who follows the log: each once, in order, however many at a time."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.cli.client import AdminClient
from gateway.cli.output import Printer
from gateway.cli.requests import Newcomers

START = datetime(2026, 1, 1, tzinfo=UTC)


def a_row(ended: float, **changes: Any) -> dict[str, Any]:
    """Return a request that took 10 ms and ended so many seconds after the start."""
    began = START + timedelta(seconds=ended, milliseconds=-10)
    ts = began.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"request_id": f"req_{ended}", "ts": ts, "duration_ms": 10.0, **changes}


class Log(AdminClient):
    """Answers with rows, the newest first, as far as `since` goes back."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []

    async def entries(self, path: str, query: Any, limit: int) -> tuple[list[dict[str, Any]], bool]:
        self.asked.append(dict(query))
        since = datetime.fromisoformat(query["since"]) if "since" in query else None
        rows = [
            row
            for row in sorted(self.rows, key=ended, reverse=True)
            if since is None or ended(row) >= since
        ]
        return rows[:limit], len(rows) > limit


def ended(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["ts"]) + timedelta(milliseconds=row["duration_ms"])


def follower(log: Log, begin: list[dict[str, Any]]) -> tuple[Newcomers, io.StringIO]:
    said = io.StringIO()
    printer = Printer("json", io.StringIO(), said)
    return Newcomers(log, {"key_id": "key_a"}, begin, printer), said


async def ids(newcomers: Newcomers) -> list[str]:
    return [row["request_id"] for row in await newcomers.look()]


async def test_what_was_there_before_is_not_new_though_it_was_not_shown() -> None:
    log = Log()
    log.rows = [a_row(n / 10) for n in range(100)]
    newcomers, _ = follower(log, log.rows[-2:])
    assert await ids(newcomers) == []
    log.rows.append(a_row(11))
    assert await ids(newcomers) == ["req_11"]
    assert await ids(newcomers) == []
    assert all(query["key_id"] == "key_a" for query in log.asked)


async def test_a_burst_of_thousands_is_shown_whole_and_in_order() -> None:
    log = Log()
    log.rows = [a_row(0)]
    newcomers, said = follower(log, log.rows[:])
    log.rows += [a_row(1 + n / 1_000) for n in range(2_500)]
    assert await ids(newcomers) == [row["request_id"] for row in log.rows[1:]]
    assert said.getvalue() == ""
    log.rows += [a_row(4 + n / 1_000) for n in range(10_001)]
    assert len(await ids(newcomers)) == 10_000
    assert "some are not shown" in said.getvalue()


async def test_what_another_process_writes_a_little_later_is_shown_once() -> None:
    log = Log()
    log.rows = [a_row(0)]
    newcomers, _ = follower(log, log.rows[:])
    log.rows.append(a_row(10))
    assert await ids(newcomers) == ["req_10"]
    log.rows.append(a_row(6))
    assert await ids(newcomers) == ["req_6"]
    assert await ids(newcomers) == []
    assert log.asked[-1]["since"] == "2026-01-01T00:00:05Z"


async def test_ids_that_clients_chose_may_come_twice() -> None:
    log = Log()
    newcomers, _ = follower(log, [])
    log.rows = [a_row(1, request_id="mine"), a_row(2, request_id="mine")]
    assert await ids(newcomers) == ["mine", "mine"]
    assert await ids(newcomers) == []


async def test_no_more_is_remembered_than_can_come_again() -> None:
    log = Log()
    newcomers, _ = follower(log, [])
    for second in range(60):
        log.rows = [a_row(second + n / 100) for n in range(100)]
        await newcomers.look()
    assert len(newcomers._seen) <= 11 * 100
