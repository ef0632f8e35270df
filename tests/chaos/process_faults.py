"""What may happen to the processes of a gateway, and to the clock that they go by."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.chaos.facts import Bounds, Facts
from tests.chaos.place import BURST, LEASE_SECONDS, QUOTA, Place, alone, children, together
from tests.chaos.scene import EVERYBODY, Scene
from tests.e2e.waiting import eventually

_SABOTEUR: Final = str(Path(__file__).parent / "saboteur")
_MEMORY_MAX: Final = 150 * 2**20
_HOUR: Final = 3600.0
_MONTH: Final = 40 * 86_400.0
LAST_SECOND: Final = 25
"""Requests with a quota within the last second or two, whose count a gateway that is killed has not written down."""
LAST_LINES: Final = "usage of the last second, log lines of the last quarter"
_AHEAD: Final = "usage of the wrong time is shown when it has come"

_crew = partial(alone, workers=2)


def worker_pids(place: Place) -> list[int]:
    admin = place.node.admin()
    listed = admin.must("GET", "/workers")["data"]
    admin.close()
    return [worker["pid"] for worker in listed if worker["state"] == "serving"]


@contextmanager
def worker_killed(place: Place) -> Iterator[None]:
    os.kill(worker_pids(place)[0], signal.SIGKILL)
    yield


@contextmanager
def workers_killed(place: Place) -> Iterator[None]:
    for pid in worker_pids(place):
        os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def worker_stopped(place: Place) -> Iterator[None]:
    """Stop a worker; its supervisor replaces it."""
    os.kill(worker_pids(place)[0], signal.SIGSTOP)
    yield


@contextmanager
def leaking(place: Place) -> Iterator[None]:
    """Let all workers leak until each was replaced once."""
    leak: Path = place.extra["leak"]
    before = set(worker_pids(place))
    leak.touch()
    yield
    try:
        eventually(lambda: not before & set(worker_pids(place)), 90)
    finally:
        leak.unlink()


@contextmanager
def leaky(folder: Path, upstream: str) -> Iterator[Place]:
    leak = folder / "leak"
    environment = {"PYTHONPATH": _SABOTEUR, "TOLLHOUSE_CHAOS_LEAK": str(leak)}
    limit = {"#worker_memory_max: null": f"worker_memory_max: {_MEMORY_MAX}"}
    with alone(folder, upstream, workers=2, environment=environment, **limit) as place:
        place.extra["leak"] = leak
        yield place


def stays_small(place: Place, facts: Facts) -> list[str]:
    """Say which worker has more memory than it may, once all is over."""
    del facts
    sizes = [_resident(pid) for pid in children(place.node.pid)]
    return [f"a worker has {size} bytes" for size in sizes if size > _MEMORY_MAX]


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def gateway_killed(place: Place) -> Iterator[None]:
    """Kill the last gateway with all of its processes; start it again."""
    place.nodes[-1].kill()
    yield
    place.nodes[-1].start()


@contextmanager
def supervisor_killed(place: Place) -> Iterator[None]:
    """Kill the supervisor alone, and start another one at once, while its workers still end what they have."""
    place.node.kill(alone=True)
    place.node.start()
    yield


@contextmanager
def gateway_stopped(place: Place) -> Iterator[None]:
    pid = place.nodes[-1].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def jumpy(folder: Path, upstream: str) -> Iterator[Place]:
    """Run a gateway whose clock can be set."""
    clock = folder / "clock"
    clock.write_bytes(struct.pack("d", 0.0))
    environment = {"PYTHONPATH": _SABOTEUR, "TOLLHOUSE_CHAOS_CLOCK": str(clock)}
    with alone(folder, upstream, environment=environment) as place:
        place.extra["clock"] = clock
        yield place


@contextmanager
def jumped(place: Place, seconds: float) -> Iterator[None]:
    """Set the clock on the wall wrong, and right again."""
    with place.extra["clock"].open("r+b") as file:
        file.write(struct.pack("d", seconds))
        file.flush()
        yield
        file.seek(0)
        file.write(struct.pack("d", 0.0))


def _patient(folder: Path, upstream: str) -> AbstractContextManager[Place]:
    changes: dict[str, Any] = {"#stuck_timeout: 10s": "stuck_timeout: 2s"}
    return alone(folder, upstream, workers=2, **changes)


_worker = partial(Scene, group="Workers")
_gateway = partial(Scene, group="Gateways")
_clock = partial(Scene, group="Clock", place=jumpy, unharmed=EVERYBODY)

SCENES: Final = (
    _worker(
        name="worker-killed",
        what="one of two killed (SIGKILL)",
        place=_crew,
        fault=worker_killed,
        may_miss=LAST_LINES,
    ),
    _worker(
        name="workers-killed",
        what="both killed at once",
        place=_crew,
        fault=workers_killed,
        may_miss=LAST_LINES,
    ),
    _worker(
        name="supervisor-killed",
        what="their supervisor killed, started again at once",
        place=_crew,
        fault=supervisor_killed,
        hold=1.0,
        bounds=Bounds(quota=LAST_SECOND, rate=BURST),
        may_miss=LAST_LINES,
    ),
    _worker(
        name="worker-stopped",
        what="one of two stopped (SIGSTOP), `stuck_timeout: 2s`",
        place=_patient,
        fault=worker_stopped,
        may_miss=LAST_LINES,
    ),
    _worker(
        name="worker-leaking",
        what="both leak 4 MB a second, `worker_memory_max: 150MiB`",
        place=leaky,
        fault=leaking,
        unharmed=EVERYBODY,
        check=stays_small,
        patience=60.0,
    ),
    _gateway(
        name="gateway-killed",
        what="the only one killed, started again",
        place=alone,
        fault=gateway_killed,
        hold=1.0,
        bounds=Bounds(quota=LAST_SECOND, rate=BURST),
        may_miss=LAST_LINES,
    ),
    _gateway(
        name="node-killed",
        what="one of two killed, started again",
        place=together,
        fault=gateway_killed,
        hold=2.0,
        may_miss=LAST_LINES,
    ),
    _gateway(
        name="node-stopped",
        what="one of two stopped (SIGSTOP) for twice the lease",
        place=together,
        fault=gateway_stopped,
        hold=LEASE_SECONDS + 3.0,
    ),
    _clock(
        name="clock-forward",
        what="an hour ahead, and right again",
        fault=partial(jumped, seconds=_HOUR),
        may_miss=_AHEAD,
    ),
    _clock(
        name="clock-back",
        what="an hour behind, and right again",
        fault=partial(jumped, seconds=-_HOUR),
    ),
    _clock(
        name="clock-month",
        what="40 days ahead, and right again",
        fault=partial(jumped, seconds=_MONTH),
        bounds=Bounds(quota=QUOTA),
        may_miss=_AHEAD,
        remark="a quota of another month is another quota",
    ),
)
