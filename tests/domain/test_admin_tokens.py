from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.admin_tokens import (
    RIGHTS,
    AdminToken,
    Right,
    Role,
    display,
    is_well_formed,
    minted,
    roles_with,
)
from gateway.domain.key_format import BASE62

RANDOM = st.text(BASE62, min_size=43, max_size=43)


@given(RANDOM)
def test_a_minted_token_is_well_formed_and_shows_eight_characters_of_itself(random: str) -> None:
    token = minted(random)
    assert (token[:4], len(token)) == ("tha_", 53)
    assert is_well_formed(token.encode())
    assert display(token) == f"{token[:8]}…{token[-4:]}"


@given(RANDOM, st.integers(0, 52), st.sampled_from(BASE62))
def test_a_token_with_another_character_is_not_well_formed(
    random: str, place: int, other: str
) -> None:
    token = minted(random)
    damaged = token[:place] + other + token[place + 1 :]
    assert is_well_formed(damaged.encode()) == (damaged == token)


@pytest.mark.parametrize("token", ["", "tha_", "tha_" + "0" * 49, "thb" + minted("0" * 43)[3:]])
def test_what_is_no_token_is_not_well_formed(token: str) -> None:
    assert not is_well_formed(token.encode())


def test_every_right_belongs_to_a_role_and_the_admin_has_all() -> None:
    assert set(RIGHTS) == set(Role)
    assert roles_with(Right.READ) == tuple(Role)
    assert roles_with(Right.AUDIT) == (Role.OPERATOR, Role.ADMIN, Role.AUDITOR)
    assert roles_with(Right.OPERATE) == (Role.OPERATOR, Role.ADMIN)
    assert roles_with(Right.ADMINISTER) == (Role.ADMIN,)


@pytest.mark.parametrize(
    ("changes", "usable"),
    [
        ({}, True),
        ({"expires_at": 101.0}, True),
        ({"expires_at": 100.0}, False),
        ({"revoked_at": 50.0}, False),
    ],
)
def test_a_token_opens_until_it_ends(changes: dict[str, float], usable: bool) -> None:
    token = AdminToken(
        token_id="adm_a",
        name="a",
        role=Role.VIEWER,
        digest=bytes(32),
        pepper_id="p1",
        display="tha_…",
        created_at=1.0,
    )
    token = replace(token, **changes)  # type: ignore[arg-type]
    assert token.is_usable_at(100.0) is usable
