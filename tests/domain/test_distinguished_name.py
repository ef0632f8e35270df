"""Subjects of certificates on one line."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.distinguished_name import write_name


def test_the_narrowest_part_comes_first_under_its_short_name() -> None:
    name = [[("countryName", "DE")], [("organizationName", "Example")], [("commonName", "jobs")]]
    assert write_name(name) == "CN=jobs,O=Example,C=DE"


def test_attributes_of_one_part_are_joined_and_unknown_types_keep_their_name() -> None:
    assert write_name([[("commonName", "a"), ("serialNumber", "7")]]) == "CN=a+serialNumber=7"
    assert write_name([]) == ""


def test_what_has_a_meaning_is_escaped() -> None:
    assert write_name([[("commonName", 'a,b+c"d\\e<f>g;h=i')]]) == (
        'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h\\=i'
    )
    assert write_name([[("commonName", " a b ")]]) == "CN=\\ a b\\ "
    assert write_name([[("commonName", "#a#")]]) == "CN=\\#a#"
    assert write_name([[("commonName", " ")]]) == "CN=\\ "


def test_a_subject_cannot_end_the_line() -> None:
    assert write_name([[("commonName", "a\r\nX-Admin: 1\0")]]) == "CN=a\\0D\\0AX-Admin: 1\\00"
    assert write_name([[("commonName", "Jörg")]]) == "CN=J\\C3\\B6rg"


@given(st.text())
def test_any_value_is_printable_and_can_be_read_back(value: str) -> None:
    text = write_name([[("commonName", value)]])
    assert text.isascii()
    assert text.isprintable()
    octets = b""
    for hexadecimal, escaped, plain in re.findall(
        r"\\([0-9A-F]{2})|\\(.)|(.)", text.removeprefix("CN=")
    ):
        octets += bytes.fromhex(hexadecimal) or (escaped or plain).encode()
    assert octets == value.encode("utf-8", "replace")
