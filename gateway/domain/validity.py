"""When a certificate is valid, read off its DER form.

Knows as much of X.509 (RFC 5280 section 4.1) as it takes to find two dates: `ssl` tells them only for certificates that
took part in a handshake. It must not judge anything else about a certificate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


class Validity(NamedTuple):
    """The first and the last second of a certificate, in epoch seconds."""

    begins_at: float
    ends_at: float


def validity_of(der: bytes) -> Validity:
    """Return when the certificate `der` is valid; raise `ValueError` for what is no certificate."""
    try:
        _, certificate, _ = _element(der)
        _, rest, _ = _element(certificate)
        tag, _, after = _element(rest)
        if tag == _VERSION:
            rest = after
        for _ in range(3):  # serial number, signature algorithm, issuer
            _, _, rest = _element(rest)
        _, dates, _ = _element(rest)
        begin_tag, begin, rest = _element(dates)
        end_tag, end, _ = _element(rest)
        return Validity(_seconds(begin_tag, begin), _seconds(end_tag, end))
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("not a certificate") from error


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and content of the first element, and what follows it; raise `IndexError` if it is cut off."""
    tag, size, begin = data[0], data[1], 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[2:begin], "big")
    if begin + size > len(data):
        raise IndexError
    return tag, data[begin : begin + size], data[begin + size :]


def _seconds(tag: int, content: bytes) -> float:
    """Read a date; years of two digits mean 1950 to 2049 (RFC 5280 section 4.1.2.5.1)."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
