"""The PROXY protocol, versions 1 and 2: who a load balancer's connection is really from.

Knows the bytes of the header (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2) and reads them
without I/O. It must not know which peers may send one: a header from anyone but a declared proxy is
a lie, so the listener asks for it only where the configuration says so, and then it is mandatory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.domain.networks import normalise_address

SIGNATURE_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V1_BYTES_MAX: Final = 107
"""The longest line of version 1, with its CRLF (section 2.1)."""
V2_BYTES_MAX: Final = 4096
"""Address block and TLVs that we accept; the format allows 65,535, senders use a few hundred."""

_SIGNATURE_V1: Final = b"PROXY "
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))"
)
_HEADER_BYTES: Final = 16
_UNIX_PATH_BYTES: Final = 108
_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16, 0x31: _UNIX_PATH_BYTES}
_PP2_TYPE_CRC32C: Final = 0x03
_CASTAGNOLI: Final = 0x82F63B78


class ProxyProtocolError(Exception):
    """The bytes are no PROXY header; `position` is the offset of the first one that is wrong."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at byte {position})")
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One end of the announced connection; a unix socket has an empty address and port 0."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """What a header announced.

    `source` and `destination` are None when the sender speaks for itself (`LOCAL`, such as a health
    check) or does not know: then the socket's own ends count. `rest` are the bytes that came after
    the header.
    """

    source: Endpoint | None
    destination: Endpoint | None
    rest: bytes


class ProxyHeaderReader:
    """Reads one header from bytes as they come; keeps at most its longest form."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Return the header once it is complete. Raises ProxyProtocolError; feed no more then."""
        self._buffer += data
        buffer = self._buffer
        if buffer.startswith(SIGNATURE_V2[: len(buffer)]):
            return _read_v2(buffer)
        if buffer.startswith(_SIGNATURE_V1[: len(buffer)]):
            return _read_v1(buffer)
        raise ProxyProtocolError("neither signature of the PROXY protocol", _first_wrong(buffer))


def _first_wrong(buffer: bytes) -> int:
    """Return where a buffer leaves the signature that it follows longest."""
    agreed = 0
    for signature in (SIGNATURE_V2, _SIGNATURE_V1):
        position = 0
        while buffer[position : position + 1] == signature[position : position + 1]:
            position += 1
        agreed = max(agreed, position)
    return agreed


def _read_v1(buffer: bytes) -> ProxyHeader | None:
    end = buffer.find(b"\r\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(buffer) >= V1_BYTES_MAX:
            raise ProxyProtocolError("the line does not end", V1_BYTES_MAX)
        return None
    line = _LINE.fullmatch(buffer[:end])
    if line is None:
        raise ProxyProtocolError("not a line of version 1", len(_SIGNATURE_V1))
    rest = buffer[end + 2 :]
    if line[1] is None:
        return ProxyHeader(source=None, destination=None, rest=rest)
    is_v6 = line[1] == b"TCP6"
    return ProxyHeader(
        source=_read_endpoint(line, 2, 4, is_v6=is_v6),
        destination=_read_endpoint(line, 3, 5, is_v6=is_v6),
        rest=rest,
    )


def _read_endpoint(line: re.Match[bytes], address: int, port: int, *, is_v6: bool) -> Endpoint:
    text, number = line[address].decode("ascii"), int(line[port])
    if (":" in text) is not is_v6:
        raise ProxyProtocolError("the address is of the other family", line.start(address))
    if number > 0xFFFF:
        raise ProxyProtocolError("the port is above 65535", line.start(port))
    try:
        return Endpoint(address=normalise_address(text), port=number)
    except ValueError:
        raise ProxyProtocolError("not an IP address", line.start(address)) from None


def _read_v2(buffer: bytes) -> ProxyHeader | None:
    if len(buffer) >= 13 and buffer[12] not in {0x20, 0x21}:
        raise ProxyProtocolError("neither LOCAL nor PROXY of version 2", 12)
    if len(buffer) < _HEADER_BYTES:
        return None
    length = int.from_bytes(buffer[14:16], "big")
    if length > V2_BYTES_MAX:
        raise ProxyProtocolError(f"more than {V2_BYTES_MAX} bytes announced", 14)
    end = _HEADER_BYTES + length
    if len(buffer) < end:
        return None
    header, rest = buffer[:end], buffer[end:]
    is_local = header[12] == 0x20
    family = header[13]
    width = _ADDRESS_BYTES.get(family, 0)
    # LOCAL may name any family and carry anything, which is skipped (section 2.2).
    if is_local or family == 0x00:
        return ProxyHeader(source=None, destination=None, rest=rest)
    if not width:
        raise ProxyProtocolError("neither TCP nor a unix stream", 13)
    ports = 0 if family == 0x31 else 4
    if length < 2 * width + ports:
        raise ProxyProtocolError("too short for its addresses", 14)
    _check_tlvs(header, _HEADER_BYTES + 2 * width + ports)
    if not ports:
        unix = Endpoint(address="", port=0)
        return ProxyHeader(source=unix, destination=unix, rest=rest)
    ends = [_read_binary(header, _HEADER_BYTES + width * side, width, side) for side in (0, 1)]
    return ProxyHeader(source=ends[0], destination=ends[1], rest=rest)


def _read_binary(header: bytes, offset: int, width: int, side: int) -> Endpoint:
    octets = header[offset : offset + width]
    groups = [octets[at : at + 2].hex() for at in range(0, width, 2)]
    text = ".".join(map(str, octets)) if width == 4 else ":".join(groups)
    port = _HEADER_BYTES + 2 * width + 2 * side
    return Endpoint(
        address=normalise_address(text), port=int.from_bytes(header[port : port + 2], "big")
    )


def _check_tlvs(header: bytes, offset: int) -> None:
    """Walk over the additional vectors; only the checksum means something to us (section 2.2.3)."""
    while offset < len(header):
        start = offset + 3
        end = start + int.from_bytes(header[offset + 1 : start], "big")
        if start > len(header) or end > len(header):
            raise ProxyProtocolError("a TLV does not fit into the header", offset)
        if header[offset] == _PP2_TYPE_CRC32C:
            if end - start != 4:
                raise ProxyProtocolError("the checksum has not four bytes", offset)
            blanked = header[:start] + bytes(4) + header[end:]
            if crc32c(blanked) != int.from_bytes(header[start:end], "big"):
                raise ProxyProtocolError("the checksum is wrong", start)
        offset = end


def crc32c(data: bytes) -> int:
    """Return the Castagnoli CRC of `data` (RFC 9260 appendix A)."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
    return value


_CRC_TABLE: Final = tuple(_crc_entry(value) for value in range(256))
