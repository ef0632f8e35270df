from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.networks import Allowlist, fold_address, network_of, normalise_address

v4_addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
v6_addresses = st.integers(0, 2**128 - 1).map(IPv6Address).filter(lambda a: a.ipv4_mapped is None)


@pytest.mark.parametrize(
    ("entries", "allowed", "refused"),
    [
        (["192.0.2.7"], ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"], ["192.0.2.8"]),
        (["192.0.2.0/24"], ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "192.0.1.255"]),
        (["0.0.0.0/0"], ["1.2.3.4", "::ffff:1.2.3.4"], ["::1", "2001:db8::1"]),
        (["::/0"], ["::1", "2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]),
        (["2001:db8::/32"], ["2001:db8::", "2001:DB8:ffff::1"], ["2001:db9::", "192.0.2.1"]),
        (["2001:db8::1"], ["2001:0db8:0:0:0:0:0:1"], ["2001:db8::2"]),
        (["::ffff:10.0.0.0/104"], ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]),
        (["::ffff:10.0.0.1"], ["10.0.0.1"], ["10.0.0.2"]),
        (["10.0.0.0/8", "10.0.0.1", "::1/128"], ["10.9.9.9", "::1"], ["9.9.9.9", "::2"]),
        ([], [], ["10.0.0.1", "::1"]),
    ],
)
def test_only_addresses_of_the_list_are_allowed(
    entries: list[str], allowed: list[str], refused: list[str]
) -> None:
    rules = Allowlist(entries)
    assert [address for address in allowed if not rules.allows(address)] == []
    assert [address for address in refused if rules.allows(address)] == []


@pytest.mark.parametrize(
    "address",
    [
        "", "unix", "10.0.0", "10.0.0.0.1", "010.0.0.1", "10.0.0.1 ", "+10.0.0.1", "10.0.0.256",
        "\uff110.0.0.1", "0x0a.0.0.1", "167772161", "fe80::1%eth0", ":", ":::", "1::2::3", "12345::",
        "g::1", "+1::2", "1_0::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "[::1]",
        "::1/64", "0x1::", " ::1", "10.0.0.1:80",
    ],
)  # fmt: skip
def test_what_is_no_address_is_never_allowed(address: str) -> None:
    assert not Allowlist(["0.0.0.0/0", "::/0"]).allows(address)
    with pytest.raises(ValueError, match=r"is not an IP address|has a zone"):
        normalise_address(address)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8' has host bits set; write 10.0.0.0/8"),
        ("2001:db8::1/32", "has host bits set; write 2001:db8::/32"),
        ("::ffff:10.0.0.1/104", "has host bits set; write 10.0.0.0/8"),
        ("10.0.0.0/33", "a number from 0 to 32"),
        ("10.0.0.0/", "a number from 0 to 32"),
        ("10.0.0.0/-1", "a number from 0 to 32"),
        ("10.0.0.0/٨", "a number from 0 to 32"),
        ("10.0.0.0/255.0.0.0", "a number from 0 to 32"),
        ("::/129", "a number from 0 to 128"),
        ("::ffff:0:0/95", "mixes IPv4-mapped and other"),
        ("fe80::1%eth0", "has a zone"),
        ("example.com", "'example.com' is not an IP address"),
        ("", "'' is not an IP address"),
        ("10.0.0.*", "is not an IP address"),
    ],
)
def test_bad_entry_is_named_with_what_is_wrong(entry: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Allowlist(["192.0.2.1", entry])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::", "::"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
    ],
)
def test_every_address_has_one_spelling(text: str, expected: str) -> None:
    assert normalise_address(text) == expected


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        ("192.0.2.1", 64, "192.0.2.1"),
        ("::ffff:192.0.2.1", 64, "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::/48"),
        ("2001:DB8::1", 128, "2001:db8::1"),
        ("2001:db8::1", 0, "::/0"),
    ],
)
def test_limits_count_ipv6_by_network(text: str, prefix: int, expected: str) -> None:
    assert fold_address(text, prefix) == expected


@given(st.lists(v4_addresses, max_size=20), st.integers(0, 32), v4_addresses)
def test_ipv4_agrees_with_the_standard_library(
    addresses: list[IPv4Address], length: int, probe: IPv4Address
) -> None:
    networks = [IPv4Network((int(address), length), strict=False) for address in addresses]
    rules = Allowlist(map(str, networks))
    for address in [*addresses, probe]:
        expected = any(address in network for network in networks)
        assert rules.allows(str(address)) is expected
        assert rules.allows(f"::ffff:{address}") is expected


@given(st.lists(v6_addresses, max_size=20), st.integers(0, 128), v6_addresses)
def test_ipv6_agrees_with_the_standard_library(
    addresses: list[IPv6Address], length: int, probe: IPv6Address
) -> None:
    networks = {IPv6Network((int(address), length), strict=False) for address in addresses}
    usable = [n for n in networks if n.network_address.ipv4_mapped is None]
    rules = Allowlist(map(str, usable))
    for address in [*addresses, probe]:
        assert rules.allows(str(address)) is any(address in network for network in usable)
        assert rules.allows(address.exploded.upper()) is rules.allows(str(address))


@given(st.text("0123456789abcdefABCDEFx:.+_ -/%", max_size=24))
def test_reading_is_never_more_lenient_than_the_standard_library(text: str) -> None:
    try:
        known: IPv4Address | IPv6Address | None = (
            IPv6Address(text) if ":" in text else IPv4Address(text)
        )
    except ValueError:
        known = None
    if isinstance(known, IPv6Address) and (known.scope_id is not None or "%" in text):
        known = None
    try:
        found = normalise_address(text)
    except ValueError:
        assert known is None
    else:
        assert known is not None
        mapped = known.ipv4_mapped if isinstance(known, IPv6Address) else None
        assert found == str(mapped or known)


def test_an_entry_may_say_whose_address_it_is() -> None:
    """HP-21."""
    rules = Allowlist(["203.0.113.7 # office", "10.0.0.0/8#VPN 10/8", " 2001:db8::/32 # lab #2"])
    assert rules.allows("203.0.113.7")
    assert rules.allows("10.9.9.9")
    assert rules.allows("2001:db8::1")
    assert not rules.allows("203.0.113.8")


@pytest.mark.parametrize("entry", ["# office", "10.0.0.1 #" + "x" * 200, "10.0.0.1 # a\nb"])
def test_a_comment_is_no_address_and_is_bounded(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is not an IP address|at most 200 printable"):
        Allowlist([entry])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.64/26"),
        ("::ffff:192.0.2.77", "192.0.2.64/26"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
    ],
)
def test_a_network_holds_the_bits_that_were_asked_for(address: str, network: str) -> None:
    assert network_of(address, 26, 48) == network
    with pytest.raises(ValueError, match="is not an IP address"):
        network_of("nowhere", 26, 48)


@pytest.mark.parametrize(
    ("entries", "entry", "is_covered"),
    [
        (["10.0.0.0/8"], "10.1.0.0/16 # ours", True),
        (["10.0.0.0/8"], "10.0.0.0/8", True),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.0.0.0/8", False),
        (["10.0.0.0/8"], "8.0.0.0/6", False),
        (["10.1.2.3"], "10.1.2.0/24", False),
        (["0.0.0.0/0"], "1.2.3.4", True),
        (["0.0.0.0/0"], "2001:db8::/32", False),
        (["2001:db8::/32"], "2001:db8:1::/48", True),
        (["2001:db8::/32"], "2001:db9::/48", False),
        (["::ffff:10.0.0.0/104"], "10.1.0.0/16", True),
        ([], "10.1.0.0/16", False),
        (["192.0.2.0/24", "10.0.0.0/8"], "10.1.0.0/16", True),
    ],
)
def test_a_list_covers_a_range_that_lies_within_one_of_its_own(
    entries: list[str], entry: str, is_covered: bool
) -> None:
    assert Allowlist(entries).covers(entry) is is_covered


def test_what_is_no_range_is_not_covered_but_refused() -> None:
    with pytest.raises(ValueError, match="is not an IP address"):
        Allowlist(["10.0.0.0/8"]).covers("__other__")


@given(
    st.lists(st.ip_addresses(v=4), min_size=2, max_size=2), st.integers(8, 32), st.integers(8, 32)
)
def test_a_list_covers_what_the_standard_library_calls_a_subnet(
    addresses: list[IPv4Address], outer: int, inner: int
) -> None:
    wide, narrow = (
        ip_network((address, length), strict=False)
        for address, length in zip(addresses, (outer, inner), strict=True)
    )
    for one, other in ((wide, narrow), (wide, ip_network((wide[0], inner), strict=False))):
        assert Allowlist([str(one)]).covers(str(other)) is other.subnet_of(one)  # type: ignore[arg-type]
