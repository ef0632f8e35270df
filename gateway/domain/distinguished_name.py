"""How the subject of a certificate is written on one line.

Knows RFC 4514. The text goes into a header field, so whatever is not printable ASCII is escaped: a name can hold
anything that its authority signed, line ends included. It must not know where a certificate came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Name = Sequence[Sequence[tuple[str, str]]]
"""Relative names, the broadest first; each holds one attribute or more, as pairs of type and value."""

_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 4514 section 3; other types keep the name under which they are known."""

_SPECIAL: Final = frozenset(',+"\\<>;=')


def write_name(name: Name) -> str:
    """Return the name as RFC 4514 writes it, the narrowest part first: `CN=jobs,O=Example`. Printable ASCII only."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in relative)
        for relative in reversed(name)
    )


def _escaped(value: str) -> str:
    last = len(value) - 1
    return "".join(
        _escaped_char(char, is_edge=position in (0, last), is_first=position == 0)
        for position, char in enumerate(value)
    )


def _escaped_char(char: str, *, is_edge: bool, is_first: bool) -> str:
    if char in _SPECIAL or (char == " " and is_edge) or (char == "#" and is_first):
        return "\\" + char
    if " " <= char <= "~":
        return char
    return "".join(f"\\{octet:02X}" for octet in char.encode("utf-8", "replace"))
