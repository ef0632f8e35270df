"""Searching the request log: backwards through its segments, those of all processes merged by time.

Knows how a question becomes a text that lines are searched for before any is parsed, and how a search that is cut off
goes on. It runs in a thread and reads little at a time: each read gives the interpreter's lock away, so the event loop
never waits for a search longer than a chunk takes. It must not know who writes.
"""

from __future__ import annotations

import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.domain.key_rules import Refused
from gateway.domain.queries import ANY_SHADOW, RequestQuery
from gateway.telemetry.request_log_segments import Segment, renamed, segments

CHUNK_BYTES: Final = 64 * 1024
"""Read at once: some 100 lines, searched in 10 us, parsed in 300 us."""

LINE_BYTES_MAX: Final = 64 * 1024
"""No line is longer; what is, is no line of ours and passed over."""

SEARCH_SECONDS_MAX: Final = 1.0
"""After this a search answers with what it has, and with where it goes on."""

CLIENTS_MAX: Final = 1_000
CLIENTS_SECONDS_MAX: Final = 30.0

_DISORDER_SECONDS: Final = 5.0
"""Lines stand in the order in which requests ended, unless the clock was set meanwhile: by so much at most."""

_FOREVER: Final = 1e11

_NEEDLES: Final = ("request_id", "key_id", "client_address", "reason", "tenant_id", "route")
"""Fields whose text is searched for: the one that the fewest lines have first."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A line that begins at `offset` and tells of a request that ended at `ended`; without a `row`, how far a scan
    has come.
    """

    ended: float
    offset: int
    row: Row | None


class Question:
    """A `RequestQuery`, ready to be asked of lines.

    Of a key that was refused because it is revoked, suspended or expired, a line names the id as `detail`: it let
    nobody in, and somebody still holds it. Such a line has no tenant.
    """

    def __init__(self, query: RequestQuery) -> None:
        asked = {name: getattr(query, name) for name in _NEEDLES}
        self._fields = {name: value for name, value in asked.items() if value}
        self._status = query.status
        self._shadow = query.shadow
        self._tenant_ids = query.tenant_ids
        self.since = query.since
        self.until = query.until
        self._key_id = self._fields.pop("key_id", "")
        self.needle = self._needle()

    def _needle(self) -> bytes:
        """Return what stands in every line that is asked for, and in as few others as can be."""
        if self._key_id and "request_id" not in self._fields:
            return orjson.dumps(self._key_id)
        named = next(iter(self._fields.items()), None)
        if named is not None:
            return _member(*named)
        if self._shadow:
            return b'"shadow":["'
        if self._tenant_ids is not None and len(self._tenant_ids) == 1:
            return _member("tenant_id", self._tenant_ids[0])
        if self._status.endswith("xx"):
            return b'"status":%b' % self._status[:1].encode()
        return b'"status":%b,' % self._status.encode() if self._status else b""

    def may_be_in(self, segment: Segment) -> bool:
        """Tell whether a request of the time asked for may stand in `segment`."""
        if self.since is not None and segment.latest < self.since - _DISORDER_SECONDS:
            return False
        return self.until is None or segment.earliest is None or segment.earliest < self.until

    def is_before(self, ended: float) -> bool:
        """Tell whether nothing that ended before `ended` is asked for."""
        return self.since is not None and ended < self.since - _DISORDER_SECONDS

    def fits(self, row: Row, began: float, ended: float) -> bool:
        """Tell whether a request is asked for: one that was under way at some time from `since` to `until`."""
        status = str(row.get("status", ""))
        wanted = self._status
        return (
            (self.since is None or ended >= self.since)
            and (self.until is None or began < self.until)
            and all(row.get(name) == value for name, value in self._fields.items())
            and (not self._key_id or self._key_id in (row.get("key_id"), row.get("detail")))
            and (
                not wanted
                or (status[:1] == wanted[:1] if wanted.endswith("xx") else status == wanted)
            )
            and (not self._shadow or self._is_shadowed(row.get("shadow", ())))
            and (self._tenant_ids is None or self._is_seen(row, self._tenant_ids))
        )

    def _is_shadowed(self, reasons: Collection[str]) -> bool:
        return bool(reasons) if self._shadow == ANY_SHADOW else self._shadow in reasons

    def _is_seen(self, row: Row, tenant_ids: Collection[str]) -> bool:
        """Tell whether a request was for one of these tenants, or for none and bore the key that is asked for."""
        tenant_id = row.get("tenant_id")
        if tenant_id is None:
            return bool(self._key_id) and row.get("detail") == self._key_id
        return tenant_id in tenant_ids


def _member(name: str, value: str) -> bytes:
    """Return how a line says that its field `name` is `value`."""
    return b'"%b":%b,' % (name.encode(), orjson.dumps(value))


class Scan:
    """One open segment, read backwards. `position` is where what was taken begins."""

    def __init__(self, descriptor: int, question: Question, position: int) -> None:
        self.descriptor = descriptor
        self.position = position
        self._found = _backwards(descriptor, question, position)
        self.head = next(self._found, None)
        """What comes next, None at the end."""

    def move(self, taken: Found) -> None:
        """Go on behind `taken`, which was the head."""
        self.position = taken.offset
        self.head = next(self._found, None)


def _backwards(descriptor: int, question: Question, stop: int) -> Iterator[Found]:
    """Yield what is asked for among the whole lines before `stop`, the last first, and after each chunk how far it
    is.
    """
    rest = b""
    is_end = True  # behind the last line break is a line that was torn, or is being written
    while stop > 0:
        start = max(0, stop - CHUNK_BYTES)
        block = os.pread(descriptor, stop - start, start) + rest
        if is_end:
            whole = block.rfind(b"\n") + 1
            block, is_end = block[:whole], False
        first = 0 if start == 0 else block.find(b"\n") + 1
        rest = block[:first] if first else (block if start else b"")
        if len(rest) > LINE_BYTES_MAX:
            rest = b""
        stop = start
        if first == 0 and start:
            continue
        yield from _matching(block, first, start, question)
        second = block.find(b"\n", first) + 1
        told = _read(block[first:second])
        if told is not None:
            yield Found(told[2], start + first, None)
            if question.is_before(told[2]):
                return


def _matching(block: bytes, first: int, start: int, question: Question) -> Iterator[Found]:
    """Yield what is asked for among the lines of `block` from `first` on, the last first."""
    end = len(block)
    while end > first:
        at = block.rfind(question.needle, first, end)
        if at < 0:
            return
        begin = max(first, block.rfind(b"\n", first, min(at, end - 1)) + 1)
        stop = block.find(b"\n", at, end) + 1 or end
        told = _read(block[begin:stop])
        if told is not None and question.fits(*told):
            yield Found(told[2], start + begin, told[0])
        end = begin


def _read(line: bytes) -> tuple[Row, float, float] | None:
    """Return a line, when its request began and when it ended; None for what is no line of ours."""
    try:
        row = orjson.loads(line)
        began = datetime.fromisoformat(row["ts"]).timestamp()
        return row, began, began + row["duration_ms"] / 1000
    except (ValueError, KeyError, TypeError):
        return None


class Search:
    """All segments of a folder, merged: what ended last comes first. Holds descriptors: a context manager.

    `cursor` is where an earlier search stopped. Raises `OSError`, and `Refused` for a cursor that is none.
    """

    def __init__(self, folder: Path, question: Question, cursor: str = "") -> None:
        self._question = question
        self._scans: dict[str, Scan] = {}
        self._frontier = float("inf")
        positions: dict[str, int] = {}
        if cursor:
            self._frontier, positions = _read_cursor(cursor)
        self._ahead: list[Segment] = []  # not looked into yet; what was written last is the last
        with ExitStack() as stack:
            stack.callback(self.close)
            for segment in reversed(segments(folder) if folder.is_dir() else []):
                if segment.name in positions:
                    self._look_into(segment, positions[segment.name])
                elif not question.may_be_in(segment) or (cursor and not self._is_behind(segment)):
                    continue
                elif segment.earliest is None and not cursor:
                    # It may still grow: taken now, or what is added meanwhile would hide what it has.
                    self._look_into(segment, segment.size)
                else:
                    self._ahead.append(segment)
            stack.pop_all()

    def close(self) -> None:
        """Close the segments that are open."""
        for scan in self._scans.values():
            os.close(scan.descriptor)
        self._scans.clear()

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_behind(self, segment: Segment) -> bool:
        """Tell whether the search that was cut off had not come to `segment`."""
        return segment.earliest is not None and segment.latest < self._frontier

    def _look_into(self, segment: Segment, position: int) -> None:
        try:
            descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            path = renamed(segment)
            if path is None:
                return
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._scans[segment.name] = Scan(descriptor, self._question, position)
        self._close_ended(segment.name)

    def _close_ended(self, name: str) -> None:
        if self._scans[name].head is None:
            os.close(self._scans.pop(name).descriptor)

    def take(self) -> Found | None:
        """Return what comes next, None at the end."""
        while True:
            latest = self._latest()
            if self._ahead and (latest is None or self._ahead[-1].latest >= latest[0]):
                segment = self._ahead.pop()
                self._look_into(segment, segment.size)
                continue
            if latest is None:
                return None
            ended, name, found = latest
            self._frontier = min(self._frontier, ended)
            self._scans[name].move(found)
            self._close_ended(name)
            return found

    def _latest(self) -> tuple[float, str, Found] | None:
        heads = [
            (each.head.ended, name, each.head) for name, each in self._scans.items() if each.head
        ]
        return max(heads, key=itemgetter(0, 1), default=None)

    def cursor(self) -> str:
        """Return where to go on; empty at the end."""
        positions = {name: scan.position for name, scan in self._scans.items()}
        if not positions and not self._ahead:
            return ""
        # JSON has no infinity; nothing of ours ends later.
        frontier = min(self._frontier, _FOREVER)
        return urlsafe_b64encode(orjson.dumps([frontier, positions])).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[float, dict[str, int]]:
    try:
        frontier, positions = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(frontier, float | int) or not all(
            isinstance(position, int) and position >= 0 for position in positions.values()
        ):
            raise ValueError("its parts are none of ours")  # noqa: TRY301 - refused below
    except (ValueError, TypeError, AttributeError, NotBase64) as error:
        raise Refused([("/cursor", "is not one that was given out")]) from error
    return float(frontier), positions


def search(
    folder: Path,
    query: RequestQuery,
    limit: int,
    cursor: str,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[list[Row], str]:
    """Return up to `limit` requests, what ended last first, and where to go on; fewer when it takes too long."""
    deadline = monotonic() + SEARCH_SECONDS_MAX
    rows: list[Row] = []
    with Search(folder, Question(query), cursor) as found:
        while len(rows) < limit:
            each = found.take()
            if each is None:
                return rows, ""
            if each.row is not None:
                rows.append(each.row)
            if monotonic() >= deadline:
                break
        return rows, found.cursor()


def clients(
    folder: Path, query: RequestQuery, monotonic: Callable[[], float] = time.monotonic
) -> list[dict[str, Any]]:
    """Return who made the requests that are asked for, the latest first; those of half a minute's search."""
    deadline = monotonic() + CLIENTS_SECONDS_MAX
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    with Search(folder, Question(query)) as found:
        while monotonic() < deadline:
            each = found.take()
            if each is None:
                break
            if each.row is not None:
                _add(seen, each.row, each.ended)
    return sorted(seen.values(), key=lambda client: client["last_at"], reverse=True)


def _add(seen: dict[tuple[str, str], dict[str, Any]], row: Row, ended: float) -> None:
    key = (row["client_address"], row["user_agent"])
    client = seen.get(key)
    if client is None:
        if len(seen) >= CLIENTS_MAX:
            return
        client = seen[key] = {
            "client_address": key[0],
            "user_agent": key[1],
            "requests": 0,
            "first_at": ended,
            "last_at": ended,
        }
    client["requests"] += 1
    client["first_at"] = min(client["first_at"], ended)
    client["last_at"] = max(client["last_at"], ended)
