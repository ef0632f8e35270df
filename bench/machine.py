"""Processes on a Linux machine: started pinned, metered from /proc, stopped by pid."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")


class Unusable(Exception):
    """The machine or a subject cannot be measured; the text says why and what to do."""


class Absent(Unusable):
    """A program is not installed, so its subject is left out."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the gateway under measurement and the core of upstream and load."""

    gateway: int
    load: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        """Take the first two cores that this process may use; a lone one plays both roles."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1] if len(usable) > 1 else usable[0])

    @property
    def are_separate(self) -> bool:
        """Tell whether the roles have a core each."""
        return self.gateway != self.load


def program(name: str, package: str = "") -> str:
    """Return the path of a program, also from the sbin folders that a user's PATH leaves out."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        hint = f"; on Debian and Ubuntu: apt-get install {package}" if package else ""
        raise Absent(f"{name} is not installed{hint}")
    return path


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses.

    Below the range from which the kernel gives ports to outgoing connections and to tests that ask for any: those may
    take it in the seconds before it is listened on.
    """
    for _ in range(100):
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unusable("no free port between 10000 and 32000 was found")


class Process:
    """A running program and all that it started."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        """The process id of the program."""
        return self._popen.pid

    def pids(self) -> list[int]:
        """Return the pids of the program and its descendants."""
        children: dict[int, list[int]] = {}
        for pid in (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
            stat = _stat(pid)
            if stat:
                children.setdefault(int(stat[1]), []).append(pid)
        found, waiting = [], [self._popen.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, ())
        return found

    def cpu_seconds(self) -> float:
        """Return user plus system time spent so far."""
        return sum(map(_cpu_seconds, self.pids()))

    def cpu_seconds_each(self) -> dict[int, float]:
        """Return the same for each process by its pid, the program first."""
        return {pid: _cpu_seconds(pid) for pid in self.pids()}

    def pin(self, *cores: int) -> None:
        """Move the program, its descendants and all their threads to `cores`."""
        for pid in self.pids():
            for thread in _threads(pid):
                os.sched_setaffinity(int(thread.name), cores)

    def memory_bytes(self) -> tuple[int, int]:
        """Return the resident set now and at its peak, summed over the processes."""
        now = peak = 0
        for pid in self.pids():
            try:
                status = (PROC / str(pid) / "status").read_text("ascii", "replace")
            except OSError:
                continue
            now += _kibibytes(status, "VmRSS")
            peak += _kibibytes(status, "VmHWM")
        return now * 1024, peak * 1024

    def wait_for_port(self, port: int, seconds: float = 30.0) -> None:
        """Return once `port` accepts a connection; raise `Unusable` when it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise Unusable(f"{self._popen.args!r} does not listen on port {port}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of what it said."""
        return self.log.read_text("utf-8", "replace")[-2000:]

    def stop(self) -> None:
        """Ask the program to end, and make sure that it and its descendants have."""
        pids = self.pids()
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def running(
    command: Sequence[str],
    core: int,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run `command` pinned to `core`, its output in `log`; `environment` is added to this one's."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [program("taskset", "util-linux"), "--cpu-list", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        process.stop()


def core_busy_seconds(core: int) -> float:
    """Return for how long `core` has worked for anybody, with the time that the host stole."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = _core(core)
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def core_stolen_seconds(core: int) -> float:
    """Return for how long the host of this virtual machine gave `core` to somebody else."""
    return _core(core)[7] / TICKS_PER_SECOND


def _core(core: int) -> list[int]:
    with (PROC / "stat").open() as lines:
        for line in lines:
            name, *fields = line.split()
            if name == f"cpu{core}":
                return [int(field) for field in fields[:8]]
    raise Unusable(f"/proc/stat does not know core {core}")


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process: the scheduler's nanoseconds, or ticks where it keeps none."""
    nanoseconds = 0
    for thread in _threads(pid):
        try:
            nanoseconds += int((thread / "schedstat").read_text("ascii").split()[0])
        except (OSError, IndexError):
            continue  # this thread has ended
    if nanoseconds:
        return nanoseconds / 1e9
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS_PER_SECOND if stat else 0.0


def _threads(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, or nothing when the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text("ascii", "replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else 0
