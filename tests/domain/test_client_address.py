from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.client_address import (
    HOPS_MAX,
    ClientAddress,
    ClientAddressResolver,
    ForwardingFields,
    Header,
)
from gateway.domain.networks import Allowlist
from gateway.domain.request import RequestHead

PROXIES = Allowlist(["10.0.0.0/8", "2001:db8:ffff::/48"])
CLIENT = "203.0.113.7"
XFF = b"x-forwarded-for"


def head_of(*fields: tuple[bytes, bytes], authority: bytes = b"api.example.com") -> RequestHead:
    return RequestHead(
        method="GET",
        target=b"/",
        path="/",
        authority=authority,
        fields=tuple((name.lower(), name, value) for name, value in fields),
    )


def resolve(
    peer: str, *lines: bytes, header: Header = "x-forwarded-for", sent_as: bytes = b""
) -> ClientAddress:
    resolver = ClientAddressResolver(PROXIES, header, trusts_unix=True)
    name = sent_as or header.encode()
    return resolver.resolve(peer, head_of(*((name, line) for line in lines)))


LONG = b"1.1.1.1, " * 11_000

X_FORWARDED_FOR: list[tuple[str, list[bytes], str]] = [
    # nobody is trusted by default: the header of a stranger is noise
    ("198.51.100.1", [b"203.0.113.7"], "198.51.100.1"),
    ("198.51.100.1", [b"127.0.0.1"], "198.51.100.1"),
    ("198.51.100.1", [b"10.0.0.1"], "198.51.100.1"),
    ("2001:db8::5", [b"203.0.113.7"], "2001:db8::5"),
    ("::ffff:198.51.100.1", [b"203.0.113.7"], "198.51.100.1"),
    # one declared proxy
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", [b""], "10.0.0.1"),
    ("10.0.0.1", [b"   "], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.7"], CLIENT),
    ("::ffff:10.0.0.1", [b"203.0.113.7"], CLIENT),
    ("2001:db8:ffff::1", [b"203.0.113.7"], CLIENT),
    # spoofed left-most elements (the classic way around an allowlist)
    ("10.0.0.1", [b"127.0.0.1, 203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"192.0.2.1, 192.0.2.2, 203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"10.0.0.9, 203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"::1,203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"garbage\x00, 203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"unknown, 203.0.113.7"], CLIENT),
    # several declared proxies
    ("10.0.0.1", [b"203.0.113.7, 10.0.0.2"], CLIENT),
    ("10.0.0.1", [b"127.0.0.1, 203.0.113.7, 10.0.0.3, 10.0.0.2"], CLIENT),
    ("10.0.0.1", [b"203.0.113.7, 2001:db8:ffff::2"], CLIENT),
    ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    # several lines are one list, in order
    ("10.0.0.1", [b"127.0.0.1", b"203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"203.0.113.7", b"10.0.0.2"], CLIENT),
    ("10.0.0.1", [b"203.0.113.7", b""], "10.0.0.1"),
    ("10.0.0.1", [b"", b"203.0.113.7"], CLIENT),
    # white space
    ("10.0.0.1", [b"  203.0.113.7\t"], CLIENT),
    ("10.0.0.1", [b"127.0.0.1\t ,\t 203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"203.0. 113.7"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.7\xa0"], "10.0.0.1"),
    # ports and brackets
    ("10.0.0.1", [b"203.0.113.7:4711"], CLIENT),
    ("10.0.0.1", [b"[2001:db8::7]"], "2001:db8::7"),
    ("10.0.0.1", [b"[2001:db8::7]:4711"], "2001:db8::7"),
    ("10.0.0.1", [b"2001:DB8:0::7"], "2001:db8::7"),
    ("10.0.0.1", [b"[::ffff:203.0.113.7]:1"], CLIENT),
    ("10.0.0.1", [b"::ffff:203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"203.0.113.7:"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.7:http"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.7:123456"], "10.0.0.1"),
    ("10.0.0.1", [b"[203.0.113.7]"], "10.0.0.1"),
    ("10.0.0.1", [b"[2001:db8::7"], "10.0.0.1"),
    ("10.0.0.1", [b"[]:80"], "10.0.0.1"),
    # malformed: the walk ends at the last address that was reached
    ("10.0.0.1", [b"203.0.113.7, , 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", [b"203.0.113.7,"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", [b"203.0.113.7, _hidden"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.007"], "10.0.0.1"),
    ("10.0.0.1", [b"3405803783"], "10.0.0.1"),
    ("10.0.0.1", [b'"203.0.113.7"'], "10.0.0.1"),
    ("10.0.0.1", [b"fe80::1%eth0"], "10.0.0.1"),
    ("10.0.0.1", [b"localhost"], "10.0.0.1"),
    # length
    ("10.0.0.1", [LONG + b"203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"203.0.113.7" + b", 10.0.0.2" * (HOPS_MAX - 1)], CLIENT),
    ("10.0.0.1", [b"203.0.113.7" + b", 10.0.0.2" * HOPS_MAX], "10.0.0.2"),
    # unix sockets, here declared as a proxy
    ("", [], ""),
    ("", [b"203.0.113.7"], CLIENT),
    ("", [b"127.0.0.1, 203.0.113.7, 10.0.0.1"], CLIENT),
    # link-local peers have a zone
    ("fe80::1%2", [b"203.0.113.7"], "fe80::1"),
]


@pytest.mark.parametrize(("peer", "lines", "expected"), X_FORWARDED_FOR)
def test_client_is_the_first_from_the_right_that_is_no_declared_proxy(
    peer: str, lines: list[bytes], expected: str
) -> None:
    assert resolve(peer, *lines).address == expected


FORWARDED: list[tuple[str, list[bytes], str]] = [
    ("198.51.100.1", [b"for=203.0.113.7"], "198.51.100.1"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", [b"for=203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"FOR=203.0.113.7;Proto=https"], CLIENT),
    ("10.0.0.1", [b"proto=https;for=203.0.113.7;by=10.0.0.1"], CLIENT),
    ("10.0.0.1", [b"proto=https ; for=203.0.113.7"], CLIENT),
    ("10.0.0.1", [b'for="203.0.113.7:4711"'], CLIENT),
    ("10.0.0.1", [b'for="203.0.113.7:_port"'], CLIENT),
    ("10.0.0.1", [b'for="[::1]:80"'], "::1"),
    ("10.0.0.1", [b'for="[2001:DB8::7]"'], "2001:db8::7"),
    ("10.0.0.1", [b'for="203.0.113\\.7"'], CLIENT),
    ("10.0.0.1", [b"for=127.0.0.1, for=203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"for=127.0.0.1", b"for=203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"for=203.0.113.7, for=10.0.0.2"], CLIENT),
    ("10.0.0.1", [b"for=203.0.113.7,for=10.0.0.3 , for=10.0.0.2"], CLIENT),
    ("10.0.0.1", [b'for=203.0.113.7;host="a, for=6.6.6.6"'], CLIENT),
    ("10.0.0.1", [b'for=203.0.113.7;host="a, for=6.6.6.6;x=\\"b"'], CLIENT),
    # a client that opens a quote cannot swallow what our proxy appends
    ("10.0.0.1", [b'for="6.6.6.6, for=203.0.113.7'], CLIENT),
    ("10.0.0.1", [b'for=6.6.6.6;x="', b'for="203.0.113.7"'], CLIENT),
    ("10.0.0.1", [b'for=6.6.6.6;x="', b'for="[2001:db8::7]:80"'], "2001:db8::7"),
    # hidden or malformed
    ("10.0.0.1", [b"for=unknown"], "10.0.0.1"),
    ("10.0.0.1", [b"for=_abc"], "10.0.0.1"),
    ("10.0.0.1", [b'for="_abc:_port"'], "10.0.0.1"),
    ("10.0.0.1", [b"for=203.0.113.7, for=_abc, for=10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", [b"for=203.0.113.7, proto=https"], "10.0.0.1"),
    ("10.0.0.1", [b"for=203.0.113.7;for=6.6.6.6"], "10.0.0.1"),
    ("10.0.0.1", [b"for=203.0.113.7, , for=10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", [b"for=203.0.113.7:80"], "10.0.0.1"),
    ("10.0.0.1", [b"for=[2001:db8::7]"], "10.0.0.1"),
    ("10.0.0.1", [b"for = 203.0.113.7"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.7"], "10.0.0.1"),
    ("10.0.0.1", [b'for="2001:db8::7"'], "2001:db8::7"),
    ("10.0.0.1", [b'for=203.0.113.7;x="' + b"," * 20 + b'"'], "10.0.0.1"),
    ("10.0.0.1", [b"for=203.0.113.7;x=" + b"y" * 2000], "10.0.0.1"),
    ("10.0.0.1", [b"for=6.6.6.6," * 9_000 + b"for=203.0.113.7"], CLIENT),
    ("10.0.0.1", [b"for=203.0.113.7" + b",for=10.0.0.2" * HOPS_MAX], "10.0.0.2"),
]


@pytest.mark.parametrize(("peer", "lines", "expected"), FORWARDED)
def test_forwarded_is_read_from_the_right_like_its_older_sister(
    peer: str, lines: list[bytes], expected: str
) -> None:
    assert resolve(peer, *lines, header="forwarded").address == expected


def test_only_the_declared_header_is_read() -> None:
    assert resolve("10.0.0.1", b"6.6.6.6", header="forwarded", sent_as=XFF).address == "10.0.0.1"
    assert resolve("10.0.0.1", b"for=6.6.6.6", sent_as=b"Forwarded").address == "10.0.0.1"
    assert resolve("10.0.0.1", b"6.6.6.6", header="none", sent_as=XFF).address == "10.0.0.1"


def test_name_of_the_header_may_be_in_any_case() -> None:
    assert resolve("10.0.0.1", b"203.0.113.7", sent_as=b"X-FORWARDED-For").address == CLIENT


def test_nothing_is_trusted_by_default() -> None:
    resolver = ClientAddressResolver()
    head = head_of((XFF, b"203.0.113.7"))
    assert resolver.resolve("10.0.0.1", head).address == "10.0.0.1"
    assert resolver.resolve("", head).address == ""
    assert not resolver.resolve_peer("127.0.0.1").is_trusted_peer
    assert not resolver.resolve_peer("").is_trusted_peer


@pytest.mark.parametrize(
    ("peer", "lines", "text"),
    [
        ("198.51.100.1", [b"1.1.1.1"], "the peer is no declared proxy"),
        ("10.0.0.1", [], "the peer is a declared proxy and told nothing"),
        ("10.0.0.1", [b"203.0.113.7, 10.0.0.2"], "x-forwarded-for: element 2 from the right is the "
         "first that is no declared proxy"),
        ("10.0.0.1", [b"unknown, 10.0.0.2"], "x-forwarded-for: element 2 from the right is no "
         "address, so the walk ended before it"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "x-forwarded-for: all 2 elements that were read are "
         "declared proxies"),
    ],
)  # fmt: skip
def test_derivation_says_how_the_address_was_found(
    peer: str, lines: list[bytes], text: str
) -> None:
    assert resolve(peer, *lines).derivation == text


@pytest.mark.parametrize(
    ("peer", "lines", "hops"),
    [
        ("198.51.100.1", [b"1.1.1.1"], 0),
        ("10.0.0.1", [], 0),
        ("10.0.0.1", [b"203.0.113.7, 10.0.0.2"], 2),
        ("10.0.0.1", [b"unknown, 10.0.0.2"], 1),
    ],
)
def test_elements_that_led_to_the_address_are_counted(
    peer: str, lines: list[bytes], hops: int
) -> None:
    assert resolve(peer, *lines).hops == hops


@given(st.binary(max_size=200), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_what_a_client_invents_never_changes_what_the_proxy_appended(
    invented: bytes, header: Literal["x-forwarded-for", "forwarded"]
) -> None:
    appended = b"203.0.113.7" if header == "x-forwarded-for" else b"for=203.0.113.7"
    assert resolve("10.0.0.1", invented + b", " + appended, header=header).address == CLIENT
    assert resolve("10.0.0.1", invented, appended, header=header).address == CLIENT


@given(st.text('for=";,\\[]:0123456789.abc_ \t', max_size=60))
def test_no_header_makes_the_walk_fail(value: str) -> None:
    for header in ("x-forwarded-for", "forwarded"):
        assert resolve("10.0.0.1", value.encode(), header=header).address


# --- what upstreams are told ---


def lines_of(
    peer: str,
    *fields: tuple[bytes, bytes],
    header: Header = "x-forwarded-for",
    sends_forwarded: bool = False,
    authority: bytes = b"api.example.com",
    may_rename_host: bool = True,
) -> dict[str, str]:
    resolver = ClientAddressResolver(PROXIES, header, trusts_unix=True)
    writer = ForwardingFields(
        resolver,
        peer,
        scheme="https",
        sends_forwarded=sends_forwarded,
        may_rename_host=may_rename_host,
    )
    head = head_of(*fields, authority=authority)
    block = writer.block(head, resolver.resolve(peer, head)).decode()
    assert block.endswith("\r\n")
    return dict(line.split(": ", 1) for line in block.split("\r\n")[:-1])


SPOOFED = (
    (b"X-Forwarded-For", b"6.6.6.6"),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Host", b"evil.example"),
    (b"Forwarded", b"for=6.6.6.6"),
)


def test_stranger_is_replaced_in_every_field() -> None:
    assert lines_of("203.0.113.7", *SPOOFED, sends_forwarded=True) == {
        "X-Forwarded-For": CLIENT,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example.com",
        "Forwarded": 'for=203.0.113.7;proto=https;host="api.example.com"',
    }


def test_declared_proxy_is_appended_to_its_own_header() -> None:
    assert lines_of("10.0.0.1", *SPOOFED, (XFF, b"203.0.113.7")) == {
        "X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
    }


def test_a_host_by_which_the_route_was_chosen_is_the_one_that_upstreams_are_told() -> None:
    """A load balancer that only appends `X-Forwarded-For` passes a client's `X-Forwarded-Host` on."""
    told = lines_of("10.0.0.1", *SPOOFED, (XFF, b"203.0.113.7"), may_rename_host=False)
    assert told["X-Forwarded-Host"] == "api.example.com"
    assert told["X-Forwarded-Proto"] == "http"
    told = lines_of("10.0.0.1", *SPOOFED, sends_forwarded=True, may_rename_host=False)
    assert told["Forwarded"] == 'for=10.0.0.1;proto=http;host="api.example.com"'


def test_header_that_the_proxy_was_not_declared_to_set_is_not_believed() -> None:
    assert lines_of("10.0.0.1", *SPOOFED, sends_forwarded=True)["Forwarded"] == (
        'for=10.0.0.1;proto=http;host="evil.example"'
    )
    told = lines_of("10.0.0.1", *SPOOFED, header="forwarded", sends_forwarded=True)
    assert told == {
        "X-Forwarded-For": "6.6.6.6, 10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example.com",
        "Forwarded": 'for=6.6.6.6, for=10.0.0.1;proto=https;host="api.example.com"',
    }
    assert lines_of("10.0.0.1", *SPOOFED, header="none")["X-Forwarded-For"] == "10.0.0.1"


def test_forwarded_proxy_without_client_is_told_once() -> None:
    assert lines_of("10.0.0.1", header="forwarded")["X-Forwarded-For"] == "10.0.0.1"


@pytest.mark.parametrize(
    "fields",
    [
        [(b"X-Forwarded-Proto", b"gopher")],
        [(b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Proto", b"http")],
        [(b"X-Forwarded-Host", b"")],
        [(b"X-Forwarded-Host", b"a"), (b"X-Forwarded-Host", b"b")],
    ],
)
def test_unclear_scheme_or_host_of_a_proxy_is_replaced(
    fields: list[tuple[bytes, bytes]],
) -> None:
    told = lines_of("10.0.0.1", *fields)
    assert (told["X-Forwarded-Proto"], told["X-Forwarded-Host"]) == ("https", "api.example.com")


def test_ipv6_and_unix_peers_are_written_as_rfc_7239_says() -> None:
    assert lines_of("2001:db8::7", sends_forwarded=True, authority=b'a"b\\')["Forwarded"] == (
        'for="[2001:db8::7]";proto=https;host="a\\"b\\\\"'
    )
    assert lines_of("", sends_forwarded=True, authority=b"") == {
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=unknown;proto=https",
    }


def test_lines_for_a_stranger_are_made_once_per_authority() -> None:
    resolver = ClientAddressResolver()
    writer = ForwardingFields(resolver, "203.0.113.7", scheme="http")
    client = resolver.resolve_peer("203.0.113.7")
    first = writer.block(head_of(), client)
    assert writer.block(head_of((XFF, b"1.1.1.1")), client) is first
    assert b"Host: other\r\n" in writer.block(head_of(authority=b"other"), client)
