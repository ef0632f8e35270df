"""After a response in doubt, its connection serves nobody."""

from __future__ import annotations

import pytest

from tests.conformance.case import Case, Cut, Failed, Group
from tests.conformance.cases import reply_bodies, reply_heads, reply_moments
from tests.conformance.driver import run
from tests.conformance.subjects import tollhouse

MODULES = (reply_heads, reply_bodies, reply_moments)
GROUPS = [
    group for module in MODULES for group in module.GROUPS if group.name != "response-silence"
]


def is_doubtful(case: Case, group: str) -> bool:
    """Tell whether the last response of a case leaves doubt: it was refused, broke off, or something followed it."""
    last = case.accepts[0][-1]
    return group == "response-overlong" or isinstance(last, Failed | Cut)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
async def test_connection_of_a_response_in_doubt_is_not_used_again(
    group: Group,
) -> None:
    reused = []
    async with tollhouse() as subject:
        for case in group.cases:
            if is_doubtful(case, group.name):
                seen = await run(case, subject)
                place = len(case.backend) - 1  # the doubtful reply is the last but the echo
                reused += [
                    case.id
                    for heard in seen.heard
                    if place in heard.answered
                    and heard.requests[-1].line.startswith(b"GET /v1/probe")
                ]
    assert not reused
