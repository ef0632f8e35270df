from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http1.proxy_protocol import (
    SIGNATURE_V2,
    V1_BYTES_MAX,
    V2_BYTES_MAX,
    Endpoint,
    ProxyHeader,
    ProxyHeaderReader,
    ProxyProtocolError,
    crc32c,
)

REST = b"GET / HTTP/1.1\r\n\r\n"


def read(data: bytes) -> ProxyHeader | None:
    return ProxyHeaderReader().feed(data)


def v2(
    block: bytes, *, command: int = 0x21, family: int = 0x11, length: int | None = None
) -> bytes:
    size = len(block) if length is None else length
    return SIGNATURE_V2 + bytes([command, family]) + size.to_bytes(2, "big") + block


def ends(source: str, destination: str, ports: tuple[int, int] = (4711, 443)) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    return packed + struct.pack("!HH", *ports)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


V4 = ends("203.0.113.7", "10.0.0.1")
CLIENT = Endpoint(address="203.0.113.7", port=4711)
GATEWAY = Endpoint(address="10.0.0.1", port=443)

COMPLETE: list[tuple[bytes, Endpoint | None, Endpoint | None]] = [
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", CLIENT, GATEWAY),
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::FFFF:10.0.0.1 4711 443\r\n", CLIENT, GATEWAY),
    (
        b"PROXY TCP6 2001:DB8::7 2001:db8::1 0 65535\r\n",
        Endpoint(address="2001:db8::7", port=0),
        Endpoint(address="2001:db8::1", port=65535),
    ),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None, None),
    (v2(V4), CLIENT, GATEWAY),
    (
        v2(ends("2001:db8::7", "2001:db8::1"), family=0x21),
        Endpoint(address="2001:db8::7", port=4711),
        Endpoint(address="2001:db8::1", port=443),
    ),
    (v2(ends("::ffff:203.0.113.7", "::1"), family=0x21), CLIENT, Endpoint(address="::1", port=443)),
    (v2(bytes(216), family=0x31), Endpoint(address="", port=0), Endpoint(address="", port=0)),
    (v2(b"", command=0x20, family=0x00), None, None),
    (v2(V4, command=0x20), None, None),
    (v2(b"anything", command=0x20, family=0x12), None, None),
    (v2(b"", family=0x00), None, None),
    (v2(tlv(1, b"h2"), family=0x00), None, None),
    (v2(V4 + tlv(0x01, b"h2") + tlv(0x04, b"") + tlv(0xEA, bytes(300))), CLIENT, GATEWAY),
]


@pytest.mark.parametrize(("header", "source", "destination"), COMPLETE)
def test_header_tells_both_ends_and_leaves_the_rest(
    header: bytes, source: Endpoint | None, destination: Endpoint | None
) -> None:
    assert read(header + REST) == ProxyHeader(source=source, destination=destination, rest=REST)


@pytest.mark.parametrize("header", [header for header, _, _ in COMPLETE])
def test_header_may_come_in_single_bytes(header: bytes) -> None:
    reader = ProxyHeaderReader()
    for octet in header[:-1]:
        assert reader.feed(bytes([octet])) is None
    found = reader.feed(header[-1:])
    assert found is not None
    assert found == read(header)


def test_longest_line_of_version_1_is_read() -> None:
    address = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    unknown = b"PROXY UNKNOWN " + address + b" " + address + b" 65535 65535\r\n"
    assert len(unknown) == V1_BYTES_MAX
    assert read(unknown) is not None
    assert read(unknown[:-2]) is None
    with pytest.raises(ProxyProtocolError, match="does not end"):
        read(unknown[:-2] + b"5\r\n")


@pytest.mark.parametrize(
    ("data", "position"),
    [
        (b"GET / HTTP/1.1\r\n", 0),
        (b"PROXX", 4),
        (b"proxy TCP4", 0),
        (b"\r\n\r\n\x00\r\nQUITS", 11),
        (b"\r\nGET", 2),
        (b"PROXY TCP5 203.0.113.7 10.0.0.1 1 2\r\n", 6),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1\r\n", 6),
        (b"PROXY TCP4  203.0.113.7 10.0.0.1 1 2\r\n", 6),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2 \r\n", 6),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 01 2\r\n", 6),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 +1 2\r\n", 6),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\n\r\n", 6),
        (b"PROXY UNKNOWNX\r\n", 6),
        (b"PROXY \r\n", 6),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 2\r\n", 32),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1 99999\r\n", 34),
        (b"PROXY TCP4 203.0.113.256 10.0.0.1 1 2\r\n", 11),
        (b"PROXY TCP4 203.0.113.007 10.0.0.1 1 2\r\n", 11),
        (b"PROXY TCP4 203.0.113.7 10.0.0 1 2\r\n", 23),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", 11),
        (b"PROXY TCP6 203.0.113.7 10.0.0.1 1 2\r\n", 11),
        (b"PROXY TCP6 1::2::3 ::2 1 2\r\n", 11),
        (b"PROXY TCP4 " + b"1" * 200, V1_BYTES_MAX),
        (v2(V4, command=0x11), 12),
        (v2(V4, command=0x22), 12),
        (SIGNATURE_V2 + b"\x01", 12),
        (v2(V4, family=0x12), 13),
        (v2(V4, family=0x41), 13),
        (v2(V4, family=0x10), 13),
        (v2(V4[:-1]), 14),
        (v2(V4, family=0x21), 14),
        (v2(bytes(215), family=0x31), 14),
        (v2(b"", length=V2_BYTES_MAX + 1), 14),
        (v2(V4 + b"\x01"), 28),
        (v2(V4 + b"\x01\x00"), 28),
        (v2(V4 + b"\x01\x00\x05abc"), 28),
        (v2(V4 + tlv(0x03, b"abc")), 28),
        (v2(V4 + tlv(0x03, b"abcd")), 31),
    ],
)
def test_malformed_header_is_refused_with_its_position(data: bytes, position: int) -> None:
    with pytest.raises(ProxyProtocolError, match=f"at byte {position}") as caught:
        read(data)
    assert caught.value.position == position


def with_checksum(extra: bytes) -> bytes:
    header = v2(V4 + tlv(0x03, bytes(4)) + extra)
    checksum = crc32c(header).to_bytes(4, "big")
    return header[:31] + checksum + header[35:]


def test_checksum_is_the_castagnoli_crc() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_header_with_its_checksum_is_accepted_and_any_flipped_bit_is_not() -> None:
    header = with_checksum(tlv(0xE0, b"id"))
    assert read(header + REST) == ProxyHeader(source=CLIENT, destination=GATEWAY, rest=REST)
    for at in range(16, len(header)):
        broken = header[:at] + bytes([header[at] ^ 0x10]) + header[at + 1 :]
        if at == 28:  # the type of the checksum itself: without it there is nothing to check
            continue
        with pytest.raises(ProxyProtocolError):
            read(broken)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PROXY ", SIGNATURE_V2, SIGNATURE_V2 + b"!\x11"]),
)
def test_any_bytes_are_read_or_refused_the_same_in_pieces(tail: bytes, start: bytes) -> None:
    data = start + tail

    def outcome(pieces: list[bytes]) -> object:
        reader = ProxyHeaderReader()
        try:
            for at, piece in enumerate(pieces):
                found = reader.feed(piece)
                if found is not None:
                    rest = found.rest + b"".join(pieces[at + 1 :])
                    return (found.source, found.destination, rest)
        except ProxyProtocolError as error:
            return error.position
        return None

    assert outcome([data]) == outcome([data[at : at + 1] for at in range(len(data))] or [b""])


def test_reader_keeps_no_more_than_one_header() -> None:
    with pytest.raises(ProxyProtocolError):
        read(b"PROXY UNKNOWN " + bytes(10_000))
