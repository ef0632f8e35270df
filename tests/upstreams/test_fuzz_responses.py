"""Mutated responses, a bounded number of them with fixed seeds; `python -m tests.fuzz_responses` goes on."""

from __future__ import annotations

import pytest

from tests.fuzz_responses import fuzz


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_made_whole_and_no_doubtful_connection_is_used_again(seed: int) -> None:
    _, wrong = await fuzz(seed, runs=400)
    assert not wrong, "\n".join(wrong)
