from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.inprocess import CASES, Case, Loop, driver


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_answered_as_it_says_and_the_gateway_closes(
    case: Case, tmp_path: Path
) -> None:
    async def answered() -> None:
        async with driver(tmp_path) as driven:
            await driven.check(case)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(answered())
