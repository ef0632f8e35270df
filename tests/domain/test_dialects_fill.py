from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.domain.dialects.definition import Slot
from gateway.domain.dialects.fill import (
    AROUND_ID,
    NAMED,
    NAMES,
    WRITERS,
    is_plain,
    naming_text,
    timestamp,
)

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


@given(st.text(min_size=1).map(str.encode) | st.text("azAZ09_-", min_size=1).map(str.encode))
def test_a_plain_id_is_written_as_it_is(request_id: bytes) -> None:
    if is_plain(request_id):
        text = request_id.decode("ascii")
        for slot in (Slot.REQUEST_ID, Slot.INSTANCE):
            writer = WRITERS[slot]
            before, after = AROUND_ID[writer]
            assert writer(_DENIAL, text, 0.0, 0) == before + text + after


def test_our_own_ids_and_uuids_are_plain() -> None:
    for plain in (b"req_0123456789abcdef", b"3f2b9a60-1c1e-4a51-9c5f-0d8f7a6b5c4d", b"a_b-c"):
        assert is_plain(plain)
    for odd in (b"", b'a"b', b"a b", b"a.b", "ü".encode(), b"a\n", b"a%20"):
        assert not is_plain(odd)


@given(st.floats(0, 4_102_444_800, allow_nan=False))
def test_a_timestamp_is_rfc_3339_in_utc_to_the_second(now: float) -> None:
    assert datetime.fromisoformat(timestamp(now)) == datetime.fromtimestamp(int(now), UTC)
    assert timestamp(now).endswith("Z")
