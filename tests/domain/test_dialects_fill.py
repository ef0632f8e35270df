from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.dialects.definition import Slot
from gateway.domain.dialects.fill import NAMED, NAMES, WRITERS, naming_text, timestamp

_DENIAL = Denial(
    reason=Reason.RATE_LIMITED,
    required_scopes=("a:b", 'ü"'),
    client_address="2001:db8::1",
    allow=("GET", "HEAD"),
    violated_policies=("minute",),
    limit=300,
    remaining=2,
    reset_seconds=12,
)


def _written(slot: Slot, denial: Denial = _DENIAL, request_id: str = "req_1") -> object:
    return json.loads(WRITERS[slot](denial, request_id, 1_640_995_140.25, 12))


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        (Slot.REQUEST_ID, "req_1"),
        (Slot.INSTANCE, "urn:tollhouse:request:req_1"),
        (Slot.TIMESTAMP, "2021-12-31T23:59:00Z"),
        (Slot.REQUIRED_SCOPES, ["a:b", 'ü"']),
        (Slot.CLIENT_ADDRESS, "2001:db8::1"),
        (Slot.ALLOW, ["GET", "HEAD"]),
        (Slot.VIOLATED_POLICIES, ["minute"]),
        (Slot.RETRY_AFTER, 12),
        (Slot.LIMIT, 300),
        (Slot.REMAINING, 2),
        (Slot.RESET_AT, 1_640_995_153),
    ],
)
def test_every_slot_is_written_as_json(slot: Slot, value: object) -> None:
    assert _written(slot) == value


def test_a_quota_resets_on_the_whole_second_of_its_period() -> None:
    denial = Denial(reason=Reason.QUOTA_EXCEEDED, limit=1)
    assert _written(Slot.RESET_AT, denial) == 1_640_995_152


def test_what_may_be_named_can_be_found_and_written() -> None:
    assert set(NAMED.values()) == set(NAMES)
    assert set(NAMES) <= set(WRITERS)


def test_a_sentence_names_several_things_with_commas_and_escapes_them() -> None:
    text = naming_text(Slot.REQUIRED_SCOPES)(_DENIAL, "", 0.0, 0)
    assert json.loads(f'"{text}"') == 'a:b, ü"'
    assert naming_text(Slot.CLIENT_ADDRESS)(_DENIAL, "", 0.0, 0) == "2001:db8::1"


@given(st.text())
def test_a_foreign_request_id_cannot_leave_its_string(request_id: str) -> None:
    assert _written(Slot.REQUEST_ID, request_id=request_id) == request_id
    instance = _written(Slot.INSTANCE, request_id=request_id)
    assert isinstance(instance, str)
    assert instance.isascii()
    assert " " not in instance
    assert '"' not in instance


@given(st.floats(0, 4_102_444_800, allow_nan=False))
def test_a_timestamp_is_rfc_3339_in_utc_to_the_second(now: float) -> None:
    assert datetime.fromisoformat(timestamp(now)) == datetime.fromtimestamp(int(now), UTC)
    assert timestamp(now).endswith("Z")
