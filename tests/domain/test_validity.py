"""Dates of certificates."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.validity import validity_of

CA = trustme.CA()
DER = ssl.PEM_cert_to_DER_cert(CA.cert_pem.bytes().decode())
DATES = st.datetimes(datetime(1950, 1, 1), datetime(2400, 1, 1))  # noqa: DTZ001 - made aware below


@settings(max_examples=30)
@given(DATES, DATES)
def test_dates_are_those_that_were_written(one: datetime, other: datetime) -> None:
    # Until 2049 a year has two digits, from 2050 on four (RFC 5280 section 4.1.2.5).
    begins, ends = sorted(date.replace(microsecond=0, tzinfo=UTC) for date in (one, other))
    made = CA.issue_cert("a.test", not_before=begins, not_after=ends)
    der = ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())
    assert validity_of(der) == (begins.timestamp(), ends.timestamp())


@given(st.integers(0, 200))
def test_certificate_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        validity_of(DER[:length])


@given(st.binary(max_size=300))
def test_anything_else_is_refused_and_nothing_but_value_error_is_raised(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - strptime has words of its own
        validity_of(data)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_damaged_certificate_is_read_or_refused(at: int, octet: int) -> None:
    with contextlib.suppress(ValueError):
        validity_of(DER[:at] + bytes([octet]) + DER[at + 1 :])


def test_certificate_without_a_version_is_read() -> None:
    # Version 1 has none: take it out, with the length of what held it.
    def element(tag: int, content: bytes) -> bytes:
        size = len(content)
        return bytes([tag, 0x82, size >> 8, size & 255]) + content

    whole = DER[4:]
    size = int.from_bytes(whole[2:4], "big")
    body = whole[4 : 4 + size]
    assert body[0] == 0xA0
    first = element(0x30, element(0x30, body[2 + body[1] :]) + whole[4 + size :])
    assert validity_of(first) == validity_of(DER)
