from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.key_states import MOVES, Verb, is_held_at, next_state
from gateway.domain.keys import KeyRecord, KeyState
from tests.key_samples import a_key

NOW = 1_700_000_000.0
BEFORE, AFTER = NOW - 1, NOW + 1

MOMENTS = st.sampled_from([None, BEFORE, AFTER])
KEYS = st.builds(
    a_key,
    state=st.sampled_from(KeyState),
    expires_at=MOMENTS,
    retires_at=MOMENTS,
    resume_at=MOMENTS,
    is_held=st.booleans(),
)


def test_every_verb_has_a_row_and_no_row_leads_out_of_revoked() -> None:
    """IV-22: a revoked key cannot be un-revoked."""
    assert set(MOVES) == set(Verb)
    for row in MOVES.values():
        assert row.get(KeyState.REVOKED, KeyState.REVOKED) is KeyState.REVOKED


def test_the_table_is_that_of_the_contract() -> None:
    """Section 7: active and suspended both ways, active to rotating to revoked, any to expired and to revoked, and
    expired to active by extension only."""
    steps = {
        (was, becomes) for row in MOVES.values() for was, becomes in row.items() if was != becomes
    }
    active, suspended, rotating = KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.ROTATING
    live = (active, suspended, rotating)
    assert steps == {
        (active, suspended),
        (suspended, active),
        (active, rotating),
        (rotating, active),  # the rotation is aborted
        (rotating, suspended),
        *((each, KeyState.EXPIRED) for each in live),
        *((each, KeyState.REVOKED) for each in (*live, KeyState.EXPIRED)),
        (KeyState.EXPIRED, active),
    }
    back = [verb for verb, row in MOVES.items() if row.get(KeyState.EXPIRED) is active]
    assert back == [Verb.EXTEND]


@given(st.sampled_from(Verb), KEYS)
def test_the_state_that_holds_now_decides_not_the_stored_one(verb: Verb, key: KeyRecord) -> None:
    found = next_state(verb, key, NOW)
    listed = MOVES[verb].get(key.state_at(NOW))
    if listed is not KeyState.ACTIVE:
        assert found is listed
    else:
        assert found in (KeyState.ACTIVE, KeyState.ROTATING, KeyState.SUSPENDED)
        assert (found is KeyState.SUSPENDED) <= (verb is Verb.EXTEND)


@given(KEYS)
def test_nothing_but_an_extension_brings_an_expired_key_back(key: KeyRecord) -> None:
    if key.state_at(NOW) is KeyState.EXPIRED:
        reached = {verb: next_state(verb, key, NOW) for verb in Verb}
        live = (KeyState.ACTIVE, KeyState.ROTATING)
        assert [verb for verb, state in reached.items() if state in live] in ([], [Verb.EXTEND])


@pytest.mark.parametrize(
    ("verb", "changes", "state"),
    [
        (Verb.RESUME, {"state": KeyState.SUSPENDED}, KeyState.ACTIVE),
        (Verb.RESUME, {"state": KeyState.SUSPENDED, "retires_at": AFTER}, KeyState.ROTATING),
        (Verb.EXTEND, {"expires_at": BEFORE}, KeyState.ACTIVE),
        (Verb.EXTEND, {"expires_at": BEFORE, "retires_at": AFTER}, KeyState.ROTATING),
        (Verb.EXTEND, {"expires_at": BEFORE, "state": KeyState.SUSPENDED}, KeyState.SUSPENDED),
        (Verb.EXTEND, {"state": KeyState.EXPIRED, "is_held": True}, KeyState.SUSPENDED),
        (
            Verb.EXTEND,
            {"state": KeyState.EXPIRED, "is_held": True, "resume_at": BEFORE},
            KeyState.ACTIVE,
        ),
        (
            Verb.EXTEND,
            {"state": KeyState.EXPIRED, "is_held": True, "resume_at": AFTER},
            KeyState.SUSPENDED,
        ),
        (Verb.ABORT, {"state": KeyState.ROTATING, "retires_at": AFTER}, KeyState.ACTIVE),
        (Verb.ABORT, {"state": KeyState.ROTATING, "retires_at": BEFORE}, None),
        (Verb.SUSPEND, {"state": KeyState.SUSPENDED, "resume_at": BEFORE}, KeyState.SUSPENDED),
        (Verb.ROTATE, {"state": KeyState.SUSPENDED}, None),
        (Verb.RESUME, {"state": KeyState.SUSPENDED, "expires_at": BEFORE}, None),
    ],
)
def test_suspension_and_rotation_outlast_what_happens_beside_them(
    verb: Verb, changes: dict[str, Any], state: KeyState | None
) -> None:
    assert next_state(verb, a_key(**changes), NOW) is state


@given(KEYS)
def test_a_key_is_held_while_it_is_suspended_or_would_be_but_for_its_end(key: KeyRecord) -> None:
    is_over = key.resume_at == BEFORE
    was_suspended = key.is_held or key.state is KeyState.SUSPENDED
    assert is_held_at(key, NOW) is (was_suspended and not is_over)
