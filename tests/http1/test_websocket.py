from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http1.websocket import POLICY_VIOLATION, FrameTrail, close_frame

TEXT = 0x81


def frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """Return one frame (RFC 6455 section 5.2)."""
    bit = 0x80 if mask else 0
    size = len(payload)
    if size <= 125:
        length = bytes((size | bit,))
    elif size < 2**16:
        length = bytes((126 | bit,)) + size.to_bytes(2)
    else:
        length = bytes((127 | bit,)) + size.to_bytes(8)
    return bytes((opcode,)) + length + mask + payload


frames = st.builds(
    frame,
    st.sampled_from([0x01, 0x80, TEXT, 0x82, 0x89, 0x8A, 0xC1]),
    st.one_of(st.binary(max_size=130), st.sampled_from([bytes(65535), bytes(65536)])),
    st.sampled_from([b"", b"mask"]),
)


@given(st.lists(frames, max_size=8), st.data())
def test_trail_is_between_frames_exactly_where_one_ends_however_the_bytes_are_cut(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(sent)
    ends = {0}
    for each in sent:
        ends.add(max(ends) + len(each))
    near_ends = sorted(
        {end + step for end in ends for step in range(-3, 15) if 0 < end + step < len(stream)}
    )
    cuts = (
        data.draw(st.lists(st.sampled_from(near_ends), max_size=12, unique=True))
        if near_ends
        else []
    )
    trail, position = FrameTrail(), 0
    for cut in [*sorted(cuts), len(stream)]:
        piece = stream[position:cut]
        assert trail.follow(piece) == piece
        position = cut
        assert trail.is_between == (position in ends)


def test_trail_read_byte_by_byte_finds_every_end() -> None:
    stream = frame(TEXT, bytes(300)) + frame(0x82, bytes(70000)) + frame(0x89, b"")
    trail = FrameTrail()
    found = []
    for position in range(len(stream)):
        trail.follow(stream[position : position + 1])
        if trail.is_between:
            found.append(position + 1)
    assert found == [304, 304 + 70010, len(stream)]


def test_after_a_close_frame_nothing_may_be_said() -> None:
    trail = FrameTrail()
    trail.follow(frame(TEXT, b"bye") + close_frame(1000, ""))
    assert not trail.is_between
    trail.follow(b"whatever comes")
    assert not trail.is_between


@pytest.mark.parametrize(("count", "is_between"), [(1000, True), (1025, False)])
def test_a_read_of_very_many_frames_loses_the_trail_and_does_no_more_work(
    count: int, is_between: bool
) -> None:
    trail = FrameTrail()
    trail.follow(frame(0x8A, b"") * count)
    assert trail.is_between == is_between
    trail.follow(frame(TEXT, b"one more"))
    assert trail.is_between == is_between


def test_frame_of_the_greatest_length_is_followed() -> None:
    trail = FrameTrail()
    trail.follow(b"\x82\x7f" + (2**63 - 1).to_bytes(8) + b"x")
    assert not trail.is_between


def test_close_frame_holds_code_and_reason() -> None:
    assert close_frame(POLICY_VIOLATION, "key_revoked") == b"\x88\x0d\x03\xf0key_revoked"
