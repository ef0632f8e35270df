from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.networks import Allowlist
from gateway.domain.request import Field, RequestHead
from gateway.listeners.peer import AddressRules, Peer, TracesFrom

PROXIES = Allowlist(["127.0.0.0/8"])


def head(*fields: tuple[bytes, bytes], authority: bytes = b"api.test") -> RequestHead:
    lines: tuple[Field, ...] = tuple((name.lower(), name, value) for name, value in fields)
    return RequestHead(method="GET", target=b"/", path="/", authority=authority, fields=lines)


def rules(trusted: Allowlist | None = None, *, ipv6_prefix: int = 64) -> AddressRules:
    return AddressRules(resolver=ClientAddressResolver(trusted), ipv6_prefix=ipv6_prefix)


def test_peer_that_is_no_proxy_is_the_client_whatever_it_says() -> None:
    peer = Peer(rules(PROXIES), "198.51.100.1", "http")
    client = peer.client(head((b"X-Forwarded-For", b"203.0.113.1")))
    assert (client.address, client.network) == ("198.51.100.1", "198.51.100.1")
    assert client.forwarded.startswith(
        b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: http\r\n"
    )
    assert not peer.is_trusted


def test_client_of_a_direct_connection_is_found_once() -> None:
    peer = Peer(rules(), "198.51.100.1", "https")
    first = peer.client(head())
    assert peer.client(head()) is first
    assert b"X-Forwarded-Proto: https\r\n" in first.forwarded


def test_another_authority_is_told_to_the_upstream() -> None:
    peer = Peer(rules(), "198.51.100.1", "http")
    assert b"X-Forwarded-Host: a\r\n" in peer.client(head(authority=b"a")).forwarded
    assert b"X-Forwarded-Host: b\r\n" in peer.client(head(authority=b"b")).forwarded


def test_each_request_of_a_proxy_has_its_own_client() -> None:
    peer = Peer(rules(PROXIES), "127.0.0.1", "http")
    assert peer.is_trusted
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1"):
        client = peer.client(head((b"X-Forwarded-For", address.encode())))
        assert client.address == address
    assert peer.client(head()).address == "127.0.0.1"


def test_network_of_an_ipv6_client_is_what_one_customer_owns() -> None:
    peer = Peer(rules(), "2001:db8:1:2:3:4:5:6", "http")
    client = peer.client(head())
    assert client.address == "2001:db8:1:2:3:4:5:6"
    assert client.network == Peer(rules(), "2001:db8:1:2::1", "http").client(head()).network
    assert client.network != Peer(rules(), "2001:db8:1:3::1", "http").client(head()).network


def test_peer_of_a_unix_socket_has_no_address() -> None:
    client = Peer(rules(), "", "http").client(head())
    assert (client.address, client.network) == ("", "")


def test_a_client_certificate_is_told_with_the_address() -> None:
    peer = Peer(rules(), "198.51.100.1", "https", b"X-Subject: CN=a\r\n")
    assert peer.client(head()).forwarded.endswith(b"\r\nX-Subject: CN=a\r\n")
    proxy = Peer(rules(PROXIES), "127.0.0.1", "https", b"X-Subject: CN=a\r\n")
    told = proxy.client(head((b"X-Forwarded-For", b"203.0.113.1"))).forwarded
    assert told.endswith(b"\r\nX-Subject: CN=a\r\n")


@pytest.mark.parametrize(
    ("traces_from", "of_a_proxy", "of_a_client"),
    [("everybody", True, True), ("proxies", True, False), ("nobody", False, False)],
)
def test_whose_trace_goes_on_is_decided_once_per_connection(
    traces_from: TracesFrom, of_a_proxy: bool, of_a_client: bool
) -> None:
    chosen = replace(rules(PROXIES), traces_from=traces_from)
    assert Peer(chosen, "127.0.0.1", "http").keeps_trace is of_a_proxy
    assert Peer(chosen, "198.51.100.1", "http").keeps_trace is of_a_client
