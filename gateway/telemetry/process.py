"""What the processes of the gateway use of the machine, as one.

Knows `/proc`. The names are those of the Prometheus client libraries, so that common dashboards work. Resident memory
counts what processes share once for each.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "process_virtual_memory_bytes": ("gauge", "Virtual memory size in bytes."),
    "process_resident_memory_bytes": ("gauge", "Resident memory size in bytes."),
    "process_start_time_seconds": (
        "gauge",
        "Start time of the process since unix epoch in seconds.",
    ),
    "process_cpu_seconds": ("counter", "Total user and system CPU time spent in seconds."),
    "process_open_fds": ("gauge", "Number of open file descriptors."),
    "process_max_fds": ("gauge", "Maximum number of open file descriptors."),
}
"""Name -> kind and meaning."""

# Fields of `/proc/<pid>/stat` behind the name in parentheses, which may hold anything (proc(5)).
_USER, _SYSTEM, _START, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21


class ProcessUse:
    """The use of this process and those it follows. Where there is no `/proc`, nothing is told."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._own = os.getpid()
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._booted = self._boot_time()
        self._cpu: dict[int, float] = {self._own: 0.0}  # seconds, as last seen
        self._cpu_before = 0.0  # of processes that ended

    def follow(self, pid: int) -> None:
        """Count the process `pid` as well."""
        self._cpu[pid] = 0.0

    def leave(self, pid: int) -> None:
        """Count it no more; the CPU time that it took stays."""
        self._stat(pid)
        self._cpu_before += self._cpu.pop(pid, 0.0)

    def read(self) -> dict[str, float]:
        """Return the values by name: sums, but for the start, which is this process's own."""
        values: dict[str, float] = {}
        for pid in list(self._cpu):
            stat = self._stat(pid)
            if stat is None:
                continue
            if pid == self._own:
                start = self._booted + int(stat[_START]) / self._ticks
                values["process_start_time_seconds"] = start
            for name, value in (
                ("process_virtual_memory_bytes", float(stat[_VIRTUAL])),
                ("process_resident_memory_bytes", float(stat[_RESIDENT]) * self._page),
                *self._descriptors(pid),
            ):
                values[name] = values.get(name, 0.0) + value
        if values:
            values["process_cpu_seconds"] = self._cpu_before + sum(self._cpu.values())
        return values

    def _stat(self, pid: int) -> list[bytes] | None:
        """Return the fields of a process, None when it is no more; takes note of its CPU time."""
        try:
            text = (self._proc / str(pid) / "stat").read_bytes()
        except OSError:
            return None
        fields = text.rpartition(b")")[2].split()
        seconds = (int(fields[_USER]) + int(fields[_SYSTEM])) / self._ticks
        if pid in self._cpu:
            self._cpu[pid] = max(seconds, self._cpu[pid])
        return fields

    def _descriptors(self, pid: int) -> list[tuple[str, float]]:
        try:
            open_now = sum(1 for _ in (self._proc / str(pid) / "fd").iterdir())
            soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        except (OSError, ValueError):
            return []  # it has just ended, or belongs to somebody else
        return [("process_open_fds", float(open_now)), ("process_max_fds", float(soft))]

    def _boot_time(self) -> float:
        with suppress(OSError):
            for line in (self._proc / "stat").read_text().splitlines():
                if line.startswith("btime "):
                    return float(line.split()[1])
        return 0.0
