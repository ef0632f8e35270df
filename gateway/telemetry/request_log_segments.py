"""The files of the request log: what they are called, which there are, and what leaves when.

A segment is a file of whole lines that one process wrote within an hour. Its name says when it was begun (UTC) and by
which process, `requests-20261128T200000.000Z-4711.jsonl`; once it is complete also when its earliest request began, so
that a search for a time passes over it unread: `requests-20261128T200000.000Z-4711.20261128T195959.981Z.jsonl`. It must
not know what a line says, but for the time that it begins with.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.ports import Clock

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

HOUR_SECONDS: Final = 3600.0

SEGMENT_BYTES_MAX: Final = 64 * 2**20
"""Small enough that what retention removes at once is little, and a search passes over much."""

PARTS_MIN: Final = 16
"""The log consists of at least so many segments before it is too large: the oldest sixteenth leaves at once."""

_TIME: Final = r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z"
_NAME: Final = re.compile(rf"requests-({_TIME})-([0-9]+)(?:\.({_TIME}))?\.jsonl")
_TIME_START: Final = 7  # of `{"ts":"2026-11-28T20:00:00.000Z",...`
_TIME_END: Final = 31


@dataclass(frozen=True, slots=True)
class Segment:
    """One file. `earliest` is when its first request began, None while it is written; times are epoch seconds.

    `latest` is when it was last written to: no request in it ended later.
    """

    path: Path
    name: str
    begun: float
    earliest: float | None
    latest: float
    size: int


def segments(folder: Path) -> list[Segment]:
    """Return the segments in `folder`, the one that was written last first. Raises `OSError`."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            if name is None:
                continue
            with suppress(FileNotFoundError):  # removed or renamed meanwhile
                status = entry.stat(follow_symlinks=False)
                found.append(
                    Segment(
                        path=Path(entry.path),
                        name=f"{name[1]}-{name[2]}",
                        begun=_epoch(name[1]),
                        earliest=_epoch(name[3]) if name[3] else None,
                        latest=status.st_mtime,
                        size=status.st_size,
                    )
                )
    return sorted(found, key=lambda each: (each.latest, each.name), reverse=True)


def renamed(segment: Segment) -> Path | None:
    """Return where `segment` is now that it has been completed, None if it is gone."""
    return next(segment.path.parent.glob(f"requests-{segment.name}.*jsonl"), None)


def remove_old(folder: Path, now: float, *, retention_seconds: float, bytes_max: int) -> int:
    """Remove the segments that are too old or too much; return how many bytes are left. Raises `OSError`."""
    kept = taken = 0
    for segment in segments(folder):
        taken += segment.size
        if segment.latest < now - retention_seconds or taken > bytes_max:
            segment.path.unlink(missing_ok=True)
        else:
            kept += segment.size
    return kept


class SegmentWriter:
    """Writes lines to segments in `folder`, which is made when missing; used by one thread at a time.

    `sync` is called with a descriptor after each write, so that a power failure loses nothing of it; None leaves that
    to the operating system. Raises `OSError` when the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        bytes_max: int,
        write: Callable[[int, memoryview], int] = os.write,
        sync: Callable[[int], None] | None = None,
    ) -> None:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._write = write
        self._sync = sync
        self._segment_bytes_max = min(SEGMENT_BYTES_MAX, bytes_max // PARTS_MIN)
        self._descriptor = -1
        self._path = Path()
        self._hour = 0
        self._size = 0
        self._earliest = b""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines. Raises `OSError`; the next lines then go to another segment, behind no torn one."""
        if self._descriptor < 0 or self._is_over():
            self.close()
            self._open()
        earliest = min(lines)[_TIME_START:_TIME_END]  # lines begin with their time
        self._earliest = min(self._earliest or earliest, earliest)
        data = b"".join(lines)
        try:
            rest = memoryview(data)
            while rest:
                written = self._write(self._descriptor, rest)
                rest = rest[written:]
            if self._sync is not None:
                self._sync(self._descriptor)
        except OSError:
            self.close()
            raise
        self._size += len(data)

    def close(self) -> None:
        """Complete the segment: its name tells its earliest request from now on."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        earliest = self._earliest.decode().replace("-", "").replace(":", "")
        if _NAME.fullmatch(f"requests-{earliest}-0.jsonl"):
            with suppress(FileNotFoundError):  # removed as too old
                self._path.rename(self._path.with_suffix(f".{earliest}.jsonl"))

    def _is_over(self) -> bool:
        return (
            self._size >= self._segment_bytes_max
            or int(self._clock.now() // HOUR_SECONDS) != self._hour
            or os.fstat(self._descriptor).st_nlink == 0  # somebody removed it
        )

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        now = self._clock.now()
        milliseconds = int(now * 1000)
        while True:
            name = f"requests-{_text(milliseconds)}-{os.getpid()}.jsonl"
            try:
                self._descriptor = os.open(self._folder / name, flags, FILE_MODE)
                break
            except FileExistsError:
                milliseconds += 1
        if self._sync is not None:
            self._sync_folder()
        self._path = self._folder / name
        self._hour = int(now // HOUR_SECONDS)
        self._size, self._earliest = 0, b""

    def _sync_folder(self) -> None:
        """Make the name of a new file last as well."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _text(milliseconds: int) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{fraction:03d}Z"


def _epoch(text: str) -> float:
    try:
        moment = datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ")  # noqa: DTZ007 - UTC below
    except ValueError:
        return 0.0  # not one of ours: it is as old as can be
    return moment.replace(tzinfo=UTC).timestamp()
