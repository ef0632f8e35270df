"""Who is at the other end of a connection, and through it: asked once per connection where that is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.domain.client_address import ClientAddressResolver, ForwardingFields
from gateway.domain.networks import fold_address
from gateway.domain.request import RequestHead

TracesFrom = Literal["everybody", "proxies", "nobody"]
"""Whose trace context is passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """How addresses are found, folded (leading bits of IPv6 that count as one client) and told on.

    `traces_from` says whose traces go on behind the gateway, `may_rename_host` whether a proxy may tell upstreams of
    another host than the one that the request names: not where routes depend on that.
    """

    resolver: ClientAddressResolver
    ipv6_prefix: int = 64
    sends_forwarded: bool = False
    may_rename_host: bool = True
    traces_from: TracesFrom = "everybody"


class Client:
    """Where one request comes from: the address, its network for throttling, and the lines that tell the upstream."""

    __slots__ = ("address", "forwarded", "network")

    def __init__(self, address: str, network: str, forwarded: bytes) -> None:
        self.address = address
        self.network = network
        self.forwarded = forwarded


class Peer:
    """One peer under one set of rules.

    A peer that is no declared proxy is the client of all its requests; a proxy's requests are each looked at.
    `certificate` are the lines that tell the upstream about the client's certificate.
    """

    __slots__ = (
        *("_certificate", "_fields", "_last", "_last_authority", "_socket_address"),
        *("is_trusted", "keeps_trace", "rules"),
    )

    def __init__(
        self,
        rules: AddressRules,
        socket_address: str,
        scheme: Literal["http", "https"],
        certificate: bytes = b"",
    ) -> None:
        self.rules = rules
        self._certificate = certificate
        self._socket_address = socket_address
        self._fields = ForwardingFields(
            rules.resolver,
            socket_address,
            scheme=scheme,
            sends_forwarded=rules.sends_forwarded,
            may_rename_host=rules.may_rename_host,
        )
        self.is_trusted = rules.resolver.resolve_peer(socket_address).is_trusted_peer
        self.keeps_trace = rules.traces_from == "everybody" or (
            rules.traces_from == "proxies" and self.is_trusted
        )
        self._last: Client | None = None
        self._last_authority = b""

    def client(self, head: RequestHead) -> Client:
        """Return where the request with `head` comes from."""
        last = self._last
        if last is not None and head.authority == self._last_authority:
            return last
        found = self.rules.resolver.resolve(self._socket_address, head)
        network = fold_address(found.address, self.rules.ipv6_prefix) if found.address else ""
        lines = self._fields.block(head, found) + self._certificate
        client = Client(found.address, network, lines)
        if not self.is_trusted:
            self._last, self._last_authority = client, head.authority
        return client
