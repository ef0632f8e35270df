"""Tollhouse meets every case, however its bytes arrive.

A case may accept several outcomes, because the RFC does; of Tollhouse only the first one is accepted here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conformance.case import Case, Group, Pause
from tests.conformance.corpus import GROUPS
from tests.conformance.driver import run
from tests.conformance.judge import judge
from tests.conformance.subjects import tollhouse


def test_every_case_has_a_name_of_its_own() -> None:
    names = [f"{group.name}/{case.id}" for group in GROUPS for case in group.cases]
    assert len(names) == len(set(names))


def _ours(case: Case) -> Case:
    return replace(case, accepts=case.accepts[:1])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
async def test_every_case_of_a_group_has_an_accepted_outcome(group: Group) -> None:
    wrong = []
    async with tollhouse() as subject:
        for case in group.cases:
            why = judge(_ours(case), await run(case, subject))
            if why:
                wrong.append(f"{group.name}/{case.id} ({case.why}): {why}")
    assert not wrong, f"{len(wrong)} of {len(group.cases)} cases\n" + "\n\n".join(wrong)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
async def test_a_case_that_arrives_byte_by_byte_has_the_same_outcome(group: Group) -> None:
    wrong = []
    async with tollhouse() as subject:
        for case in group.cases:
            if not case.splits or any(isinstance(part, Pause) for part in case.sends):
                continue
            why = judge(_ours(case), await run(case, subject, cuts=()))
            if why:
                wrong.append(f"{group.name}/{case.id} ({case.why}): {why}")
    assert not wrong, f"{len(wrong)} of {len(group.cases)} cases\n" + "\n\n".join(wrong)
