"""One engine for IP rules: addresses and CIDR ranges, IPv4, IPv6 and IPv4-mapped IPv6.

Knows how addresses are written and which network contains which address. An IPv4-mapped IPv6
address (RFC 4291 section 2.5.5.2) is its IPv4 address everywhere, so a dual-stack socket cannot
slip past an IPv4 rule; `::/0` therefore does not cover IPv4. It must not know what a rule is for, or
where an address came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_OCTETS: Final = {str(value): value for value in range(256)}
"""Every octet in its only form: some read leading zeros as octal (RFC 6943 section 3.1.1)."""

_HEX: Final = "0123456789abcdefABCDEF"
_MAPPED: Final = 0xFFFF
_BITS: Final = {4: 32, 6: 128}
_ENTRY_LENGTH_MAX: Final = 200
"""An address, a prefix length, and a comment that says whose it is."""


def _parse(text: str) -> tuple[int, int]:
    """Return the version and the value of an address, mapped ones as IPv4. Raises ValueError."""
    if ":" not in text:
        try:
            a, b, c, d = text.split(".")
            return 4, _OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d]
        except (ValueError, KeyError):
            raise ValueError(f"{text!r} is not an IP address") from None
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which means nothing to other hosts")
    try:
        value = _parse_v6(text)
    except AddressValueError:
        raise ValueError(f"{text!r} is not an IP address") from None
    return (4, value & 0xFFFFFFFF) if value >> 32 == _MAPPED else (6, value)


def _parse_v6(text: str) -> int:
    """Return the value of an IPv6 address, in half the time of `ipaddress` for the common forms."""
    left, gap, right = text.partition("::")
    before = left.split(":") if left else []
    after = right.split(":") if right else []
    missing = 8 - len(before) - len(after)
    if (missing > 0 if gap else missing == 0) and "" not in before and "" not in after:
        groups = [*before, *("0",) * missing, *after]
        digits = "".join([group.rjust(4, "0") for group in groups])
        if len(digits) == 32 and not digits.strip(_HEX):
            return int(digits, 16)
    return int(IPv6Address(text))


def _format(version: int, value: int) -> str:
    return str(IPv4Address(value) if version == 4 else IPv6Address(value))


def normalise_address(text: str) -> str:
    """Return the one way to write an address: IPv6 compressed in lower case (RFC 5952), mapped as
    IPv4.

    Raises ValueError for what is no address, for zones, and for octets with leading zeros.
    """
    version, value = _parse(text)
    return text if version == 4 and ":" not in text else _format(version, value)


def fold_address(text: str, ipv6_prefix: int) -> str:
    """Return what limits count an address by: IPv4 as it is, IPv6 as its network of `ipv6_prefix`
    bits.

    One subscriber commonly holds a whole /64 (RFC 6177), so single IPv6 addresses cost an attacker
    nothing.
    """
    version, value = _parse(text)
    if version == 4 or ipv6_prefix >= 128:
        return normalise_address(text)
    host_bits = 128 - ipv6_prefix
    return f"{_format(6, value >> host_bits << host_bits)}/{ipv6_prefix}"


def neighbourhood(text: str) -> str:
    """Return the network that an address is likely to share with its neighbours: an IPv4 /24, an
    IPv6 /48.

    One site commonly gets as much (RFC 6177), so many of them mean many places.
    """
    return network_of(text, 24, 48)


def network_of(text: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    """Return the network around an address, of so many bits. Raises ValueError for what is no address."""
    version, value = _parse(text)
    length = ipv4_prefix if version == 4 else ipv6_prefix
    host_bits = _BITS[version] - length
    return f"{_format(version, value >> host_bits << host_bits)}/{length}"


def _parse_entry(entry: str) -> tuple[int, int, int]:
    """Return version, prefix length and the prefix itself, without host bits; a comment means nothing here."""
    if len(entry) > _ENTRY_LENGTH_MAX or not entry.isprintable():
        raise ValueError(f"an entry has at most {_ENTRY_LENGTH_MAX} printable characters")
    text, slash, length_text = entry.partition("#")[0].strip().partition("/")
    version, value = _parse(text)
    bits = _BITS[version]
    written_bits = 128 if ":" in text else 32
    length = written_bits
    if slash:
        if not (length_text.isascii() and length_text.isdigit()) or int(length_text) > written_bits:
            raise ValueError(
                f"{entry!r}: the prefix length must be a number from 0 to {written_bits}"
            )
        length = int(length_text)
    length -= written_bits - bits
    if length < 0:
        raise ValueError(f"{entry!r} mixes IPv4-mapped and other IPv6 addresses; list them apart")
    host_bits = bits - length
    if value & ((1 << host_bits) - 1):
        network = f"{_format(version, value >> host_bits << host_bits)}/{length}"
        raise ValueError(f"{entry!r} has host bits set; write {network} or the address alone")
    return version, length, value >> host_bits


class Allowlist:
    """A compiled list of networks; an address is allowed when any of them contains it.

    `entries` are addresses and CIDR ranges, each perhaps with a comment (`203.0.113.7 # office`).
    Raises ValueError that names the entry and what is wrong with it. A look-up costs one set probe
    per distinct prefix length, however many entries there are. `owner` is whose list it is
    (`route`, `tenant`, `key`), for whoever tells of it.
    """

    __slots__ = ("_v4", "_v6", "owner")

    def __init__(self, entries: Iterable[str], owner: str = "") -> None:
        self.owner = owner
        groups: dict[tuple[int, int], set[int]] = {}
        for entry in entries:
            version, length, prefix = _parse_entry(entry)
            groups.setdefault((version, _BITS[version] - length), set()).add(prefix)
        # Most specific first, so that the order of probes does not depend on the order of entries.
        ordered = sorted(groups.items())
        self._v4 = tuple((shift, frozenset(found)) for (ip, shift), found in ordered if ip == 4)
        self._v6 = tuple((shift, frozenset(found)) for (ip, shift), found in ordered if ip == 6)

    def allows(self, address: str) -> bool:
        """Say whether a network contains `address`; never for what is no address."""
        try:
            version, value = _parse(address)
        except ValueError:
            return False
        for shift, prefixes in self._v4 if version == 4 else self._v6:  # noqa: SIM110 - faster
            if value >> shift in prefixes:
                return True
        return False

    def covers(self, entry: str) -> bool:
        """Say whether one network of the list contains all of `entry`, an address or a range. Raises ValueError."""
        version, length, prefix = _parse_entry(entry)
        host_bits = _BITS[version] - length
        value = prefix << host_bits
        return any(
            shift >= host_bits and value >> shift in prefixes
            for shift, prefixes in (self._v4 if version == 4 else self._v6)
        )

    def containing(self, address: str) -> str:
        """Return the smallest network of the list that contains `address`; empty when none does."""
        try:
            version, value = _parse(address)
        except ValueError:
            return ""
        for shift, prefixes in self._v4 if version == 4 else self._v6:
            if value >> shift in prefixes:
                text = _format(version, value >> shift << shift)
                return f"{text}/{_BITS[version] - shift}" if shift else text
        return ""
