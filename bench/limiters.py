"""What a draw costs in one process and in shared memory: `python -m bench.limiters`.

CPU time of this process, the least of several rounds, alternating; on a busy machine only the ratios mean something.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from gateway.control.clock import SystemClock
from gateway.domain.limits import Claim, Concurrency, Quota, Rate, Rule
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import Segment, Shape

_ROUNDS: Final = 15
_DRAWS: Final = 10_000


def _claim(rule: Rule, owner: str) -> Claim:
    return Claim(bucket=f"{owner}:pro:{rule.name}", policy=f"pro/{rule.name}", rule=rule)


def _sets() -> dict[str, tuple[Claim, ...]]:
    rate = Rate(name="minute", limit=10**9, window_seconds=60, burst=10**9)
    quota = Quota(name="daily", limit=10**11, period="day")
    return {
        "rate": (_claim(rate, "lineage:a"),),
        "rate and quota of a key": (_claim(rate, "lineage:a"), _claim(quota, "lineage:a")),
        "rate of key, tenant and route": tuple(
            _claim(rate, owner) for owner in ("lineage:a", "tenant:a", "route:a")
        ),
        "concurrency": (_claim(Concurrency(name="concurrency", limit=10), "lineage:a"),),
    }


def _microseconds(limiter: MemoryLimiter | SharedLimiter, claims: Sequence[Claim]) -> float:
    acquire, release = limiter.acquire, limiter.release
    begun = time.process_time()
    for _ in range(_DRAWS):
        release(acquire(claims))
    return (time.process_time() - begun) / _DRAWS * 1e6


def main() -> None:
    """Print the table."""
    clock = SystemClock()
    segment = Segment.create(
        Shape(buckets_max=500_000, workers_max=1, holdings_max=100, has_names=True)
    )
    memory, shared = MemoryLimiter(clock), SharedLimiter(segment, clock, 0)
    print(f"{'a draw and its release':32}{'one process':>14}{'shared':>12}")
    for name, claims in _sets().items():
        pairs = [
            (_microseconds(memory, claims), _microseconds(shared, claims)) for _ in range(_ROUNDS)
        ]
        alone, together = (min(each) for each in zip(*pairs, strict=True))
        print(f"{name:32}{alone:11.2f} us{together:9.2f} us")
    segment.close()


if __name__ == "__main__":
    main()
