from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.telemetry.process import MEANINGS, ProcessUse

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
OTHER = 1  # a process that exists: its limits are asked of the system


class Proc:
    """A `/proc` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stat").write_text("cpu 1 2 3\nbtime 1000\n")

    def put(self, pid: int, *, cpu: int, pages: int = 10, descriptors: int = 2) -> None:
        fields = ["S", *["0"] * 10, str(cpu), "0", *["0"] * 6, str(5 * TICKS), "4096", str(pages)]
        place = self.folder / str(pid)
        (place / "fd").mkdir(parents=True, exist_ok=True)
        (place / "stat").write_text(f"{pid} (a (odd) name) {' '.join(fields)}\n")
        for number in range(descriptors):
            (place / "fd" / str(number)).touch()

    def end(self, pid: int) -> None:
        (self.folder / str(pid)).rename(self.folder / f"gone-{pid}")


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_the_use_of_all_processes_is_summed(proc: Proc) -> None:
    own = os.getpid()
    proc.put(own, cpu=3 * TICKS)
    use = ProcessUse(proc.folder)
    proc.put(OTHER, cpu=4 * TICKS, pages=5, descriptors=3)
    use.follow(OTHER)
    values = use.read()
    assert values["process_cpu_seconds"] == 7.0
    assert values["process_resident_memory_bytes"] == 15 * PAGE
    assert values["process_virtual_memory_bytes"] == 8192
    assert values["process_start_time_seconds"] == 1005.0
    assert values["process_open_fds"] in (2, 5)  # another's limits may not be ours to see


def test_the_time_of_a_process_that_ended_stays(proc: Proc) -> None:
    proc.put(os.getpid(), cpu=TICKS)
    proc.put(OTHER, cpu=2 * TICKS)
    use = ProcessUse(proc.folder)
    use.follow(OTHER)
    assert use.read()["process_cpu_seconds"] == 3.0
    proc.put(OTHER, cpu=3 * TICKS)
    use.leave(OTHER)  # not reaped yet: known to the last
    assert use.read()["process_cpu_seconds"] == 4.0
    assert use.read()["process_resident_memory_bytes"] == 10 * PAGE


def test_a_process_that_is_gone_already_counts_as_last_seen(proc: Proc) -> None:
    proc.put(os.getpid(), cpu=TICKS)
    proc.put(OTHER, cpu=2 * TICKS)
    use = ProcessUse(proc.folder)
    use.follow(OTHER)
    assert use.read()["process_cpu_seconds"] == 3.0
    proc.end(OTHER)
    assert use.read()["process_cpu_seconds"] == 3.0
    use.leave(OTHER)
    assert use.read()["process_cpu_seconds"] == 3.0


def test_without_proc_nothing_is_told(tmp_path: Path) -> None:
    assert ProcessUse(tmp_path / "missing").read() == {}


def test_this_process_is_told_whole() -> None:
    values = ProcessUse().read()
    assert set(values) == set(MEANINGS)
    assert values["process_open_fds"] >= 3
    assert values["process_start_time_seconds"] > 1_500_000_000
