"""A rehearsed draw comes to what a real one comes to, and draws on nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate
from gateway.domain.rehearsal import rehearse
from gateway.limiters.memory import MemoryLimiter
from tests.clock import FakeClock

RULES = st.one_of(
    st.builds(
        Rate,
        name=st.just("minute"),
        limit=st.integers(1, 5),
        window_seconds=st.sampled_from([1, 60]),
        burst=st.integers(1, 4),
    ),
    st.builds(
        Quota,
        name=st.just("quota"),
        limit=st.integers(1, 4),
        period=st.sampled_from(["hour", "month"]),
    ),
    st.builds(Concurrency, name=st.just("running"), limit=st.integers(1, 3)),
)
CLAIMS = st.lists(
    st.builds(
        lambda rule, owner: Claim(
            bucket=f"{owner}:pro:{rule.name}", policy=f"pro/{rule.name}", rule=rule
        ),
        RULES,
        st.sampled_from(["lineage:a", "tenant:t", "route:r"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda claim: claim.bucket,
)


def told(grant: Grant) -> Any:
    return (
        grant.refused,
        grant.retry_after_seconds,
        grant.levels,
        [(each.claim, each.remaining, each.reset_seconds) for each in grant.standings],
        grant.measured_at,
        grant.decided_by,
    )


@given(claims=CLAIMS, moves=st.lists(st.sampled_from([0.0, 0.3, 1.0, 61.0]), max_size=8))
def test_a_rehearsal_comes_to_what_the_draw_comes_to(
    claims: list[Claim], moves: list[float]
) -> None:
    clock = FakeClock()
    limiter = MemoryLimiter(clock)
    for seconds in moves:
        clock.advance(seconds)
        before = limiter.look(claims).levels
        expected = rehearse(claims, before, clock.now())
        assert limiter.look(claims).levels == before
        drawn = limiter.acquire(claims)
        assert told(drawn) == told(expected)
        assert drawn.held == expected.held


def test_two_claims_on_one_bucket_are_drawn_one_after_the_other() -> None:
    minute = Rate(name="minute", limit=1, window_seconds=60, burst=1)
    claim = Claim(bucket="lineage:a:pro:minute", policy="pro/minute", rule=minute)
    assert rehearse((claim, claim), (0, 0), 0.0).refused is claim
