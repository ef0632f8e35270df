"""Several real processes on one segment: `python -m tests.limiters.shared.hammer <scene> [<descriptor>]`.

A process of its own, so that it may fork: the one that runs the tests has threads. It prints what happened as JSON.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from gateway.control.clock import SystemClock
from gateway.domain.limits import Claim, Concurrency, Quota, Rate
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import Segment, Shape
from gateway.limiters.shared.supervision import Supervision
from gateway.ports import LimiterUnavailable
from tests.clock import FakeClock
from tests.contracts.limiter import HOUR, claim, concurrency, quota, rate

WORKERS: Final = 3
KILL_SECONDS: Final = 3.0
SETS: Final = (
    (claim(rate(burst=400)), claim(quota(900), "tenant:a")),
    (claim(rate(burst=500), "lineage:b"), claim(quota(900), "tenant:a")),
    (claim(rate(burst=400)), claim(rate(burst=500), "lineage:b")),
)
"""What requests claim: each set shares a bucket with each other."""


def hammer(scene: str, descriptor: int | None = None) -> Any:
    """Play a scene in a process of its own; return what it prints."""
    arguments = [] if descriptor is None else [str(descriptor)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.limiters.shared.hammer", scene, *arguments],
        pass_fds=() if descriptor is None else (descriptor,),
        capture_output=True,
        check=False,
        timeout=120,
    )
    if descriptor is None:
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return None


def create() -> Segment:
    return Segment.create(
        Shape(buckets_max=10_000, workers_max=WORKERS, holdings_max=100, has_names=True)
    )


def counters() -> memoryview[int]:
    """Return words that all children share."""
    return memoryview(mmap.mmap(-1, 4096)).cast("q")


def fork(segment: Segment, worker: int, work: Callable[[Segment], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(Segment.attach(os.dup(segment.descriptor)))
            code = 0
        finally:
            os._exit(code)
    return child


def wait_for(children: list[int]) -> None:
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def draw_all(limiter: SharedLimiter, seed: int, admitted: memoryview[int], first: int) -> None:
    """Draw on the sets in random order until all are used up; count admissions per set."""
    chance = random.Random(seed)
    refusals = 0
    while refusals < 60:
        each = chance.randrange(len(SETS))
        if limiter.acquire(SETS[each]).refused is None:
            admitted[first + each] += 1
            refusals = 0
        else:
            refusals += 1


def remaining(segment: Segment, clock: FakeClock) -> dict[str, int]:
    """Return what is left of each bucket."""
    limiter = SharedLimiter(segment, clock, 0)
    left = {}
    for each in {each.bucket: each for claims in SETS for each in claims}.values():
        grant = limiter.look([each])
        assert grant is not None
        left[each.bucket] = grant.standings[0].remaining
    return left


def scene_exact() -> Any:
    """All draw at a clock that stands still, from sets that overlap."""
    segment, clock, admitted = create(), FakeClock(now=HOUR), counters()
    wait_for(
        [
            fork(
                segment,
                worker,
                lambda mine, worker=worker: draw_all(  # type: ignore[misc]
                    SharedLimiter(mine, clock, worker), worker, admitted, worker * 8
                ),
            )
            for worker in range(WORKERS)
        ]
    )
    sums = [sum(admitted[worker * 8 + each] for worker in range(WORKERS)) for each in range(3)]
    return {"admitted": sums, "remaining": remaining(segment, clock)}


def scene_real_time() -> Any:
    """All draw in real time, then one uses up what is left."""
    segment, clock, admitted = create(), SystemClock(), counters()
    fast = claim(Rate(name="second", limit=2000, window_seconds=1, burst=20_000))

    def draw(mine: Segment, worker: int) -> None:
        limiter = SharedLimiter(mine, clock, worker)
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            drawn = limiter.acquire([fast]).refused is None
            admitted[worker] += drawn
            if not admitted[worker + 8]:
                admitted[worker + 8] = time.monotonic_ns()

    begun = time.monotonic()
    wait_for(
        [
            fork(segment, worker, lambda mine, worker=worker: draw(mine, worker))  # type: ignore[misc]
            for worker in range(1, WORKERS)
        ]
    )
    limiter = SharedLimiter(segment, clock, 0)
    while True:
        before = time.monotonic()
        if limiter.acquire([fast]).refused is not None:
            break
        admitted[0] += 1
    ended = time.monotonic()
    drawn_by = (
        min(admitted[9 : 8 + WORKERS]) / 10**9
    )  # the bucket was full until then, and never again
    return {
        "admitted": sum(admitted[:WORKERS]),
        "most": 20_000 + 2000 * (ended - begun),
        "least": 20_000 + 2000 * (before - drawn_by) - 1,
    }


def scene_one_at_a_time() -> Any:
    """All hold the same concurrency of one, and look whether anybody else does."""
    segment, holders = create(), counters()
    single = claim(concurrency(1))

    def hold(mine: Segment, worker: int) -> None:
        limiter = SharedLimiter(mine, SystemClock(), worker)
        while holders[20 + worker] < 3000:
            grant = limiter.acquire([single])
            if grant.refused is None:
                holders[worker] = 1
                others = sum(holders[other] for other in range(WORKERS) if other != worker)
                holders[10] += others
                holders[20 + worker] += 1
                holders[worker] = 0
                limiter.release(grant)

    wait_for(
        [
            fork(segment, worker, lambda mine, worker=worker: hold(mine, worker))  # type: ignore[misc]
            for worker in range(WORKERS)
        ]
    )
    assert Supervision(segment).release_all(0)
    limiter = SharedLimiter(segment, SystemClock(), 0)
    return {
        "met": holders[10],
        "held": sum(holders[20 : 20 + WORKERS]),
        "free": limiter.acquire([single]).refused is None,
    }


def scene_kills() -> Any:
    """Children die at any moment; others go on; what was acknowledged is kept, nothing is held."""
    segment, clock, admitted = create(), FakeClock(now=HOUR), counters()
    supervision, chance = Supervision(segment), random.Random(4)
    few = claim(Concurrency(name="concurrency", limit=2), "route:all")
    endless = Claim(
        bucket="route:all:pro:month",
        policy="pro/month",
        rule=Quota(name="month", limit=10**9, period="month"),
    )
    still = claim(rate(limit=10**9, burst=10**9), "tenant:still")

    def draw(mine: Segment, worker: int) -> None:
        limiter = SharedLimiter(mine, clock, worker)
        while True:
            grant = limiter.acquire((still, endless, few))
            if grant.refused is None:
                admitted[worker] += 1
                limiter.release(grant)
            else:
                admitted[8 + worker] += 1

    deadline, kills = time.monotonic() + KILL_SECONDS, 0
    children = {
        worker: fork(segment, worker, lambda mine, worker=worker: draw(mine, worker))  # type: ignore[misc]
        for worker in range(WORKERS)
    }
    while time.monotonic() < deadline:
        time.sleep(chance.random() * 0.004)
        worker = chance.randrange(WORKERS)
        kill(children[worker], supervision, worker)
        kills += 1
        children[worker] = fork(
            segment,
            worker,
            lambda mine, worker=worker: draw(mine, worker),  # type: ignore[misc]
        )
    for worker, child in children.items():
        kill(child, supervision, worker)
        kills += 1
    limiter = SharedLimiter(segment, clock, 0)
    seen = limiter.look((still,))
    assert seen is not None
    return {
        "kills": kills,
        "admitted": sum(admitted[:WORKERS]),
        "refused": sum(admitted[8 : 8 + WORKERS]),
        "drawn": 10**9 - seen.standings[0].remaining,
        "counted": supervision.export_counts()[endless.bucket][1],
        "free": sum(limiter.acquire((few,)).refused is None for _ in range(9)),
    }


def kill(child: int, supervision: Supervision, worker: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert supervision.release_all(worker)


def scene_stopped() -> Any:
    """A worker is stopped while it holds a lock: others are told at once, and go on when it was killed."""
    segment, clock = create(), FakeClock(now=HOUR)
    claims = (claim(rate(burst=5)),)
    limiter, supervision = SharedLimiter(segment, clock, 0), Supervision(segment)
    limiter.acquire(claims)

    def stop(mine: Segment) -> None:
        for stripe in range(mine.layout.stripes):
            mine.mutexes.lock((mine.mutex(stripe),))
        os.kill(os.getpid(), signal.SIGSTOP)

    child = fork(segment, 1, stop)
    os.waitpid(child, os.WUNTRACED)
    waits = []
    for _ in range(3):
        begun = time.monotonic()
        try:
            limiter.acquire(claims)
            waits.append(-1.0)
        except LimiterUnavailable:
            waits.append(time.monotonic() - begun)
    looked = limiter.look(claims) is None
    is_whole = supervision.export_counts() == {}
    kill(child, supervision, 1)
    grants = [limiter.acquire(claims).refused is None for _ in range(6)]
    return {"waits": waits, "looked": looked, "is_whole": is_whole, "admitted": sum(grants)}


def count_and_die(descriptor: int) -> None:
    limiter = SharedLimiter(Segment.attach(descriptor), FakeClock(now=HOUR), 1)
    for _ in range(4):
        limiter.acquire((claim(quota()), claim(concurrency(9))))
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    if len(sys.argv) > 2:
        count_and_die(int(sys.argv[2]))
    print(json.dumps(globals()[f"scene_{sys.argv[1]}"]()))


if __name__ == "__main__":
    main()
