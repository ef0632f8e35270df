"""Lets a hundred nodes lease from one bucket, and finds how far they exceed its limit.

Run it with `python -m bench.leased_simulation`.

The nodes run the code of the gateway (`limiters.redis.leases`); Redis is `Bucket`, whose every answer is that of the
script (`tests/limiters/redis/test_scripts.py` proves it on a real one). Events happen at random instants: requests come
in bursts that wander from node to node, answers take their time, nodes stop for a while, and die with what they have.

What is measured is the worst stretch of time: over all intervals, how many requests were let in beyond
`burst + rate * length`. It must not be more than `rate * lease`.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from gateway.domain.bucket import TokenBucket
from gateway.domain.limits import Rate
from gateway.limiters.redis import wire
from gateway.limiters.redis.leases import Lease

US: Final = 1_000_000
_START: Final = 1_000_000_000
_EVERY: Final = 5.0


class Bucket:
    """A rate in Redis; times in whole microseconds. Every number is exact."""

    def __init__(self, rule: Rate) -> None:
        self.rule = rule
        self._bucket = TokenBucket(rule)

    def level(self, now: int) -> int:
        """Return the debt."""
        return self._bucket.level(now * 1_000)

    def draw(self, now: int) -> bool:
        """Draw one request (`acquire.lua`)."""
        return self._bucket.draw(now * 1_000) >= 0

    def take(self, now: int, count: int) -> int:
        """Take requests in advance (`move.lua`)."""
        left = (self.rule.capacity - self.level(now)) // self.rule.price
        count = min(count, left // 8)
        self._set(now, self.level(now) + count * self.rule.price)
        return count

    def give(self, now: int, count: int, since: int) -> None:
        """Give back what time has not paid for."""
        unpaid = count * self.rule.price - (now - since) * 1_000 * self.rule.refill
        self._set(now, max(0, self.level(now) - max(0, unpaid)))

    def charge(self, now: int, count: int) -> None:
        """Charge what was let in elsewhere."""
        self._set(now, min(self.rule.capacity, self.level(now) + count * self.rule.price))

    def _set(self, now: int, level: int) -> None:
        self._bucket.paid_at = now * 1_000 * self.rule.refill + level


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is simulated: `nodes` that share `rule`, for `seconds`, all together asked for `demand` times its rate.

    With `calm`, that is a rush of a second every five, and `calm` times the rate is asked for in between.
    """

    rule: Rate
    nodes: int = 100
    seconds: float = 60.0
    lease: float = 0.5
    demand: float = 2.0
    calm: float | None = None
    deaths: float = 0.05
    """How many nodes die in a second, and are replaced."""
    stops: float = 0.2
    """How many stop in a second, for up to two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of it: `excess` is the most that any interval had beyond `burst + rate * length`, `bound` what it may
    have; `calls` were made of Redis for `requests`, of which `admitted` were let in.
    """

    requests: int
    admitted: int
    calls: int
    excess: float
    bound: float

    @property
    def holds(self) -> bool:
        """Tell whether the bound holds."""
        return self.excess <= self.bound + 1e-6


class _Node:
    def __init__(self, rule: Rate, lease: float) -> None:
        self.lease = Lease(rule, lease)
        self.stopped_until = 0.0
        self.refused_until = 0.0


class Simulation:
    """A run of a scene."""

    def __init__(self, scene: Scene, seed: int = 1) -> None:
        self._scene = scene
        self._random = Random(seed)
        self._redis = Bucket(scene.rule)
        self._nodes = [_Node(scene.rule, scene.lease) for _ in range(scene.nodes)]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._hot = 0
        self._admitted: list[float] = []
        self._requests = self._calls = 0

    def run(self) -> Found:
        """Let everything happen."""
        scene, rule = self._scene, self._scene.rule
        rate = rule.limit / rule.window_seconds
        self._often(scene.demand * rate, self._request)
        self._often(scene.deaths, self._die)
        self._often(scene.stops, self._stop)
        self._often(1.0, self._wander)
        for number in range(scene.nodes):
            self._at(self._random.uniform(0, scene.lease / 4), partial(self._tend, number))
        while self._events and self._events[0][0] < scene.seconds:
            now, _, act = heapq.heappop(self._events)
            act(now)
        return self._found(rate)

    # ---- events

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, act))

    def _often(self, per_second: float, act: Callable[[float], None]) -> None:
        """Let `act` happen at random, so often."""
        if per_second <= 0:
            return

        def again(now: float) -> None:
            act(now)
            self._at(now + self._random.expovariate(per_second), again)

        self._at(self._random.expovariate(per_second), again)

    def _us(self, now: float) -> int:
        return _START + round(now * US)

    def _delay(self) -> float:
        """Return how long a way to Redis takes: mostly a millisecond, sometimes fifty."""
        return self._random.choice((0.0005, 0.001, 0.001, 0.002, 0.05))

    def _wander(self, _: float) -> None:
        self._hot = self._random.randrange(self._scene.nodes)

    def _die(self, _: float) -> None:
        """Lose a node with what it has; another one takes its place."""
        at = self._random.randrange(self._scene.nodes)
        self._nodes[at] = _Node(self._scene.rule, self._scene.lease)

    def _stop(self, now: float) -> None:
        node = self._random.choice(self._nodes)
        node.stopped_until = now + self._random.uniform(0, 2)

    def _request(self, now: float) -> None:
        """Ask a node: a quarter of all requests go to the one that is hot, as an unlucky balancer does."""
        scene = self._scene
        is_rush = scene.calm is None or now % _EVERY >= _EVERY - 1
        if not is_rush and self._random.random() >= (scene.calm or 0.0) / scene.demand:
            return
        self._requests += 1
        chance = self._random.random()
        node = self._nodes[self._hot] if chance < 0.25 else self._random.choice(self._nodes)
        # What comes to a node that has stopped waits until it goes on, and is judged then.
        self._at(max(now, node.stopped_until), lambda then: self._judge(then, node))

    def _judge(self, now: float, node: _Node) -> None:
        lease = node.lease
        if lease.has(now):
            lease.spend(now)
            self._admitted.append(now)
        elif now >= node.refused_until:
            self._at(now + self._delay(), lambda then: self._draw(then, node))
        lease.note(now)
        count = lease.wanted(now)
        if count:
            lease.is_asking = True
            self._at(now + self._delay(), lambda then: self._take(then, node, count, now))

    def _draw(self, now: float, node: _Node) -> None:
        self._calls += 1
        at, rule = self._us(now), self._scene.rule
        if self._redis.draw(at):
            self._admitted.append(now)
        else:  # a refusal is repeated for as long as it is true (`limiters.redis.refusals`)
            wait = wire.wait_microseconds(rule, self._redis.level(at), 0, at) / US
            node.refused_until = now + min(1.0, wait)

    def _take(self, now: float, node: _Node, count: int, asked_at: float) -> None:
        self._calls += 1
        at = self._us(now)
        taken = self._redis.take(at, count)
        level = self._redis.level(at)
        self._at(
            now + self._delay(),
            lambda _: node.lease.took(taken, level, 0, asked_at=asked_at, taken_at=at),
        )

    def _tend(self, number: int, now: float) -> None:
        node = self._nodes[number]
        if now >= node.stopped_until:
            for count, taken_at in node.lease.overdue(now):
                self._at(now + self._delay(), partial(self._give, count, taken_at))
        self._at(now + self._scene.lease / 4, partial(self._tend, number))

    def _give(self, count: int, taken_at: int, now: float) -> None:
        self._calls += 1
        self._redis.give(self._us(now), count, taken_at)

    # ---- what is found

    def _found(self, rate: float) -> Found:
        scene = self._scene
        # The worst interval that ends now is the one that began where `admitted - rate * time` was least.
        least, excess = 0.0, 0.0
        self._admitted.sort()
        for number, at in enumerate(self._admitted):
            least = min(least, number - rate * at)
            excess = max(excess, number + 1 - rate * at - least - scene.rule.burst)
        return Found(
            requests=self._requests,
            admitted=len(self._admitted),
            calls=self._calls,
            excess=excess,
            bound=rate * scene.lease,
        )


def per_second(limit: int, burst: int) -> Rate:
    """Return a rate."""
    return Rate(name="second", limit=limit, window_seconds=1, burst=burst)


SCENES: Final = (
    ("a busy limit, half asked for", Scene(rule=per_second(20_000, 20_000), demand=0.5, seconds=10)),
    ("all of it", Scene(rule=per_second(20_000, 20_000), demand=1.0, seconds=10)),
    ("twice", Scene(rule=per_second(20_000, 20_000), demand=2.0, seconds=10)),
    ("calm, then a rush", Scene(rule=per_second(10_000, 10_000), demand=10.0, calm=0.5, seconds=20)),
    ("a rush upon a small burst", Scene(rule=per_second(10_000, 1_000), demand=5.0, calm=0.7, seconds=20)),
    ("a rush upon long leases", Scene(rule=per_second(5_000, 20_000), lease=2.0, demand=10.0, calm=0.5, seconds=20)),
    ("a limit of ten per node", Scene(rule=per_second(1_000, 1_000), demand=2.0)),
    ("a small limit", Scene(rule=per_second(80, 80), demand=2.0)),
    ("nodes that die all the time", Scene(rule=per_second(10_000, 10_000), deaths=50.0, demand=1.0, seconds=10)),
    ("nodes that stop all the time", Scene(rule=per_second(10_000, 10_000), stops=50.0, demand=1.0, seconds=10)),
)  # fmt: skip


def main() -> int:
    """Run all scenes; return 1 if the bound is broken in any."""
    parser = argparse.ArgumentParser(description="How far leases exceed a limit, on 100 nodes.")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each scene (default 3)")
    options = parser.parse_args()
    head = ("scene", "requests", "admitted", "calls per request", "excess", "bound")
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    is_broken = False
    for name, scene in SCENES:
        runs = [
            Simulation(replace(scene, nodes=options.nodes), seed).run()
            for seed in range(1, options.seeds + 1)
        ]
        worst = max(runs, key=lambda found: found.excess)
        is_broken = is_broken or not all(found.holds for found in runs)
        print(
            f"| {name} | {worst.requests:,} | {worst.admitted:,} "
            f"| {worst.calls / worst.requests:.3f} | {worst.excess:.0f} | {worst.bound:.0f} |"
        )
    return int(is_broken)


if __name__ == "__main__":
    sys.exit(main())
