from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.key_rules import Refused
from gateway.domain.queries import RequestQuery
from gateway.domain.redaction import Redactor
from gateway.ports import StoreUnavailable
from gateway.telemetry import request_log_search
from gateway.telemetry.access_lines import Lines
from gateway.telemetry.request_log import FileRequestLog
from gateway.telemetry.request_log_segments import SegmentWriter, remove_old, segments
from tests.clock import FakeClock
from tests.telemetry.outcomes import make_outcome
from tests.telemetry.test_access_log import TOKEN

START = 1_700_000_000.0
HOUR = 3600.0


def line(ended: float, duration: float = 0.01, **fields: Any) -> bytes:
    """Return a line as `access_lines` makes it, but for the fields that are given."""
    began = round(ended - duration, 3)
    ts = (
        datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    row = {
        "ts": ts,
        "request_id": f"req_{ended}",
        "method": "GET",
        "route": "jobs",
        "status": 200,
        "reason": None,
        "key_id": "key_a",
        "tenant_id": "ten_a",
        "environment": "live",
        "client_address": "192.0.2.1",
        "peer_address": "192.0.2.1",
        "user_agent": "curl",
        "duration_ms": duration * 1000,
        "generation": 1,
    }
    return orjson.dumps(row | fields) + b"\n"


class Disk:
    """A folder of segments, with a clock that moves to each line before it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(now=START)
        self.log = FileRequestLog(folder, self.clock)

    def writer(self, bytes_max: int = 10**9) -> SegmentWriter:
        return SegmentWriter(self.folder, self.clock, bytes_max=bytes_max)

    def write(self, writer: SegmentWriter, ended: float, **fields: Any) -> None:
        self.clock.wall = ended
        writer.write([line(ended, **fields)])
        for path in self.folder.iterdir():
            if path.name.count(".") == 2:  # still open
                times = [each.latest for each in segments(self.folder)]
                if path.stat().st_mtime > max(times, default=0) - 1:
                    os.utime(path, (ended, ended))

    async def found(self, page_limit: int = 100, **query: Any) -> list[Any]:
        """Return the request ids of all pages."""
        ids: list[Any] = []
        cursor = ""
        for _ in range(1000):
            page = await self.log.search(RequestQuery(**query), limit=page_limit, cursor=cursor)
            assert len(page.rows) <= page_limit
            ids += [row["request_id"] for row in page.rows]
            cursor = page.cursor
            if not cursor:
                return ids
        raise AssertionError("a search without end")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "requests")


async def test_requests_come_back_the_newest_first_page_by_page(disk: Disk) -> None:
    writer = disk.writer()
    for number in range(250):
        disk.write(writer, START + number * 60, request_id=number)  # five hours
    assert len(segments(disk.folder)) == 5
    for limit in (1, 7, 100, 1000):
        assert await disk.found(limit) == list(range(249, -1, -1))


async def test_a_real_line_is_found_by_each_of_its_fields(disk: Disk) -> None:
    lines = Lines(Redactor([("sk", ("live",))]))
    outcome = make_outcome(target=f"/x?k={TOKEN}".encode())
    raw = lines.render(outcome, START)
    disk.writer().write([raw])
    row = orjson.loads(raw)
    for name in ("request_id", "route", "client_address"):
        assert await disk.found(100, **{name: row[name]}) == [row["request_id"]]
        assert await disk.found(100, **{name: "other"}) == []
    assert await disk.found(status="200") == await disk.found(status="2xx") == [row["request_id"]]
    assert await disk.found(status="20") == await disk.found(status="4xx") == []
    assert TOKEN.encode() not in raw


async def test_a_refusal_is_found_by_key_tenant_reason_and_shadow(disk: Disk) -> None:
    writer = disk.writer()
    disk.write(writer, START, request_id=1, key_id="key_b", tenant_id="ten_b", status=403,
               reason="insufficient_scope", shadow=["ip_not_allowed"])  # fmt: skip
    disk.write(writer, START + 1, request_id=2, shadow=[])
    for query in (
        {"key_id": "key_b"}, {"tenant_id": "ten_b"}, {"reason": "insufficient_scope"},
        {"shadow": "ip_not_allowed"}, {"status": "403"}, {"status": "4xx", "key_id": "key_b"},
    ):  # fmt: skip
        assert await disk.found(100, **query) == [1]
    assert await disk.found(key_id="key_b", reason="ip_not_allowed") == []


async def test_whoever_still_comes_with_a_key_that_was_revoked_is_found_by_its_id(
    disk: Disk,
) -> None:
    """D9: such a request has no key, but names the id as the detail of its refusal."""
    refused = {"key_id": None, "tenant_id": None, "status": 401, "reason": "key_revoked"}
    disk.write(disk.writer(), START, detail="key_b", **refused)
    [row] = (await disk.log.search(RequestQuery(key_id="key_b"))).rows
    assert row["reason"] == "key_revoked"
    assert (await disk.log.search(RequestQuery(key_id="key_c"))).rows == []
    assert (await disk.log.search(RequestQuery(key_id="key_b", status="200"))).rows == []


async def test_only_requests_for_the_tenants_that_may_be_seen_are_found(disk: Disk) -> None:
    """HT-9."""
    writer = disk.writer()
    for number, tenant_id in enumerate(("ten_a", "ten_b", None, "ten_c", "ten_ab")):
        disk.write(writer, START + number, request_id=number, tenant_id=tenant_id)
    for within, expected in (
        (None, [4, 3, 2, 1, 0]),
        ((), []),
        (("ten_a",), [0]),
        (("ten_a", "ten_b"), [1, 0]),
    ):
        assert await disk.found(1, tenant_ids=within) == expected
        assert await disk.found(status="2xx", tenant_ids=within) == expected
    assert await disk.found(tenant_id="ten_b", tenant_ids=("ten_a",)) == []
    assert [each["requests"] for each in await disk.log.clients("key_a", START, ("ten_b",))] == [1]


async def test_a_refusal_without_a_tenant_is_seen_by_whoever_asks_for_its_key(disk: Disk) -> None:
    """HP-12, HT-9."""
    refused = {"key_id": None, "tenant_id": None, "status": 401, "reason": "key_revoked"}
    writer = disk.writer()
    disk.write(writer, START, request_id="mine", detail="key_b", **refused)
    disk.write(writer, START + 1, request_id="other", detail="key_c", **refused)
    assert await disk.found(key_id="key_b", tenant_ids=("ten_a",)) == ["mine"]
    assert await disk.found(reason="key_revoked", tenant_ids=("ten_a",)) == []


async def test_requests_that_any_rule_in_shadow_mode_would_refuse_are_found_at_once(
    disk: Disk,
) -> None:
    writer = disk.writer()
    for number, shadow in enumerate((["ip_not_allowed"], [], ["rate_limited", "quota_exceeded"])):
        disk.write(writer, START + number, request_id=number, shadow=shadow)
    disk.write(writer, START + 9, request_id="liar", shadow=[], user_agent='"shadow":["x"')
    assert await disk.found(shadow="*") == [2, 0]
    assert await disk.found(shadow="quota_exceeded") == [2]
    assert await disk.found(shadow="*", key_id="key_b") == []


async def test_what_a_client_says_cannot_be_mistaken_for_a_field(disk: Disk) -> None:
    disk.write(disk.writer(), START, user_agent='","key_id":"key_z","status":404,"')
    assert await disk.found(key_id="key_z") == await disk.found(status="404") == []


async def test_a_request_counts_for_the_whole_time_that_it_was_under_way(disk: Disk) -> None:
    writer = disk.writer()
    disk.write(writer, START + 3 * HOUR, duration=2.5 * HOUR, request_id="stream")
    disk.write(writer, START + 3 * HOUR + 1, request_id="later")
    assert await disk.found(until=START + HOUR) == ["stream"]
    assert await disk.found(since=START + HOUR, until=START + 2 * HOUR) == ["stream"]
    assert await disk.found(since=START + 3 * HOUR + 0.5) == ["later"]
    assert await disk.found(until=START) == []


async def test_segments_of_another_time_are_not_read(disk: Disk) -> None:
    writer = disk.writer()
    for hour in range(10):
        disk.write(writer, START + hour * HOUR, request_id=hour)
    writer.close()
    for segment in segments(disk.folder):
        if segment.latest != START + 4 * HOUR:
            segment.path.unlink()
            segment.path.mkdir()  # whoever reads it fails
            os.utime(segment.path, (segment.latest, segment.latest))
    assert await disk.found(since=START + 4 * HOUR - 1, until=START + 5 * HOUR - 1) == [4]
    with pytest.raises(StoreUnavailable):
        await disk.found()


async def test_a_line_that_is_torn_or_garbage_hides_nothing_else(disk: Disk) -> None:
    writer = disk.writer()
    disk.write(writer, START, request_id=1)
    [segment] = segments(disk.folder)
    with segment.path.open("ab") as file:
        file.write(b"garbage\n\n" + b"x" * 200_000 + b"\n")
        file.write(line(START + 1, request_id=2) + line(START + 2, request_id=3)[:-20])
    assert await disk.found() == [2, 1]
    assert await disk.found(key_id="key_a") == [2, 1]


async def test_what_is_written_between_two_pages_neither_repeats_nor_hides_a_request(
    disk: Disk,
) -> None:
    writer, idle = disk.writer(), disk.writer()
    disk.write(idle, START, request_id="idle")
    for number in range(5):
        disk.write(writer, START + 10 + number, request_id=number)
    page = await disk.log.search(RequestQuery(), limit=2)
    assert [row["request_id"] for row in page.rows] == [4, 3]
    disk.write(idle, START + 20, request_id="new")
    disk.write(writer, START + HOUR + 20, request_id="new")  # completes a segment, begins one
    page = await disk.log.search(RequestQuery(), limit=100, cursor=page.cursor)
    assert [row["request_id"] for row in page.rows] == [2, 1, 0, "idle"]
    assert page.cursor == ""


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3000), st.integers(0, 4000)), max_size=40
    ),
    limit=st.integers(1, 9),
    agent=st.sampled_from(["x", "x" * 5000]),
)
async def test_pages_of_several_writers_hold_every_request_once(
    steps: list[tuple[int, int, int]], limit: int, agent: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    disk = Disk(tmp_path_factory.mktemp("requests"))
    writers = [disk.writer(bytes_max=16 * 70_000) for _ in range(3)]
    now, ended = START, []
    for number, (which, pause, duration) in enumerate(steps):
        now += pause
        disk.write(
            writers[which], now, duration=float(duration), request_id=number, user_agent=agent
        )
        ended.append(now)
    found = await disk.found(limit)
    assert sorted(found) == list(range(len(steps)))
    assert [ended[each] for each in found] == sorted(ended, reverse=True)
    middle = START + (now - START) / 2
    under_way = {
        number
        for number, (_, _, duration) in enumerate(steps)
        if ended[number] >= middle and ended[number] - duration < middle + 900
    }
    assert set(await disk.found(limit, since=middle, until=middle + 900)) == under_way


def test_a_search_that_takes_long_answers_with_where_it_goes_on(disk: Disk) -> None:
    writer = disk.writer()
    for number in range(20):
        disk.write(writer, START + number * HOUR, request_id=number, key_id=f"key_{number}")
    clock = count()  # every look at it is a second
    monotonic = lambda: float(next(clock))  # noqa: E731
    rows, cursor = request_log_search.search(
        disk.folder, RequestQuery(key_id="key_2"), 10, "", monotonic
    )
    assert rows == []
    rounds = 0
    while not rows:
        rows, cursor = request_log_search.search(
            disk.folder, RequestQuery(key_id="key_2"), 10, cursor, monotonic
        )
        rounds += 1
        assert rounds < 100
    assert [row["request_id"] for row in rows] == [2]


@pytest.mark.parametrize("cursor", ["x", "!!!", "W10", "bnVsbA", "WzEsIHsiYSI6IC0xfV0"])
async def test_an_invented_cursor_is_refused(disk: Disk, cursor: str) -> None:
    disk.write(disk.writer(), START)
    with pytest.raises(Refused, match="cursor"):
        await disk.log.search(RequestQuery(), cursor=cursor)


async def test_clients_are_told_apart_by_address_and_user_agent(disk: Disk) -> None:
    writer = disk.writer()
    disk.write(writer, START - 100)
    for number in range(3):
        disk.write(writer, START + number, user_agent="old")
    disk.write(writer, START + 5, client_address="192.0.2.2", user_agent="new")
    disk.write(writer, START + 6, key_id="key_b")
    assert await disk.log.clients("key_a", START) == [
        {"client_address": "192.0.2.2", "user_agent": "new", "requests": 1,
         "first_at": START + 5, "last_at": START + 5},
        {"client_address": "192.0.2.1", "user_agent": "old", "requests": 3,
         "first_at": START, "last_at": START + 2},
    ]  # fmt: skip


async def test_a_log_that_is_off_or_was_never_written_finds_nothing(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "missing"):
        log = FileRequestLog(folder, FakeClock())
        assert (await log.search(RequestQuery())).rows == []
        assert await log.clients("key_a", 0) == []
        await log.remove_old(HOUR, 1)
        assert log.bytes == 0


async def test_a_log_that_cannot_be_read_is_an_outage(disk: Disk) -> None:
    disk.write(disk.writer(), START)
    [segment] = segments(disk.folder)
    segment.path.unlink()
    segment.path.mkdir()
    for search in (disk.log.search(RequestQuery()), disk.log.clients("key_a", 0)):
        with pytest.raises(StoreUnavailable, match="request log"):
            await search


# ---- what is written, and what leaves


def test_only_the_owner_can_read_what_is_kept(disk: Disk) -> None:
    disk.write(disk.writer(), START)
    [segment] = segments(disk.folder)
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700


def test_a_segment_ends_with_its_hour_and_with_its_size(disk: Disk) -> None:
    writer = disk.writer(bytes_max=16 * 500)
    disk.write(writer, START)
    disk.write(writer, START + HOUR)
    assert len(segments(disk.folder)) == 2
    for number in range(3):
        disk.write(writer, START + HOUR + number)
    assert len(segments(disk.folder)) == 3
    writer.close()
    assert all(each.earliest is not None for each in segments(disk.folder))


def test_after_a_failed_write_lines_go_on_in_another_segment(disk: Disk) -> None:
    is_full = False

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal is_full
        if is_full:
            is_full = False
            os.write(descriptor, data[:50])
            raise OSError(28, "No space left on device")
        return os.write(descriptor, data)

    writer = SegmentWriter(disk.folder, disk.clock, bytes_max=10**9, write=write)
    disk.write(writer, START, request_id=1)
    is_full = True
    with pytest.raises(OSError, match="No space"):
        writer.write([line(START + 1, request_id=2)])
    disk.write(writer, START + 2, request_id=3)
    rows, _ = request_log_search.search(disk.folder, RequestQuery(), 10, "")
    assert [row["request_id"] for row in rows] == [3, 1]


def test_what_was_written_is_forced_to_the_disk_before_it_counts_as_written(disk: Disk) -> None:
    synced: list[bytes] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").read_bytes())

    writer = SegmentWriter(disk.folder, disk.clock, bytes_max=10**9, sync=sync)
    for number in range(3):
        disk.write(writer, START + number, request_id=number)
    assert [content.count(b"\n") for content in synced] == [1, 2, 3]


def test_a_disk_that_cannot_be_forced_fails_the_write_and_the_next_goes_to_another_segment(
    disk: Disk,
) -> None:
    is_broken = True

    def sync(_: int) -> None:
        if is_broken:
            raise OSError(5, "Input/output error")

    writer = SegmentWriter(disk.folder, disk.clock, bytes_max=10**9, sync=sync)
    with pytest.raises(OSError, match="Input/output"):
        writer.write([line(START)])
    is_broken = False
    disk.write(writer, START + 1)
    assert len(segments(disk.folder)) == 2


def test_a_segment_that_was_removed_under_the_writer_is_replaced(disk: Disk) -> None:
    writer = disk.writer()
    disk.write(writer, START)
    for segment in segments(disk.folder):
        segment.path.unlink()
    disk.write(writer, START + 1)
    assert len(segments(disk.folder)) == 1
    segments(disk.folder)[0].path.unlink()
    writer.close()
    writer.close()
    assert segments(disk.folder) == []


def test_what_is_too_old_leaves_and_then_the_oldest_until_the_rest_fits(disk: Disk) -> None:
    writer = disk.writer()
    for hour in range(6):
        disk.write(writer, START + hour * HOUR)
    writer.close()
    (disk.folder / "notes.txt").write_text("not ours")
    now = START + 5 * HOUR
    size = segments(disk.folder)[0].size
    kept = remove_old(disk.folder, now, retention_seconds=4 * HOUR, bytes_max=10**9)
    assert (kept, len(segments(disk.folder))) == (5 * size, 5)
    kept = remove_old(disk.folder, now, retention_seconds=4 * HOUR, bytes_max=2 * size)
    assert kept == 2 * size
    assert [each.begun for each in segments(disk.folder)] == [now, now - HOUR]
    assert (disk.folder / "notes.txt").exists()
