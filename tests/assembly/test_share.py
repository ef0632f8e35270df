from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.assembly.share import Share


@given(st.integers(1, 100_000), st.integers(1, 64))
def test_shares_add_up_to_the_whole_but_nobody_is_left_without(whole: int, parts: int) -> None:
    shares = [Share(number, parts).of(whole) for number in range(parts)]
    assert sum(shares) == max(whole, parts)
    assert max(shares) - min(shares) <= 1
