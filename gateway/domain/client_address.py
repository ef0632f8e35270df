"""Who the client is, seen through declared proxies, and what upstreams are told about it.

Knows how `X-Forwarded-For` and `Forwarded` (RFC 7239) are read from right to left, and how they are
written on. Allowlists, limits, logs and upstream headers all take the address from here. It must
not know sockets or configuration files.

The walk. The peer is what the socket says; only if the peer is a declared proxy is the header read,
from the right, because each proxy adds its own peer there and everything further left may be
invented. The walk ends at the first address that is no declared proxy: the client. It also ends, at
the last address reached, where an element is malformed, hidden (`unknown`, `_name`) or missing, and
after 64 elements: what is left of that proves nothing, so the request counts as the proxy's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

from gateway.domain.networks import Allowlist, normalise_address
from gateway.domain.request import RequestHead

Header = Literal["x-forwarded-for", "forwarded", "none"]

HOPS_MAX: Final = 64
"""Elements read of one header; real chains have fewer than ten, longer ones only cost time."""

_ELEMENT_BYTES_MAX: Final = 1024
_QUOTED_COMMAS_MAX: Final = 8
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR: Final = _TOKEN + rb"=(?:" + _TOKEN + rb'|"(?:[^"\\]|\\.)*")'
_ELEMENT: Final = re.compile(rb"[ \t]*" + _PAIR + rb"(?:[ \t]*;[ \t]*" + _PAIR + rb")*[ \t]*")
_PAIRS: Final = re.compile(rb"(" + _TOKEN + rb')=(?:"((?:[^"\\]|\\.)*)"|(' + _TOKEN + rb"))")
_ESCAPED: Final = re.compile(rb"\\(.)")
_NODE: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_SCHEME: Final = re.compile(rb"https?", re.IGNORECASE)


class ClientAddress:
    """Where a request comes from.

    `address` is normalised, empty for a unix socket; `is_trusted_peer` tells whether the peer is a
    declared proxy.
    """

    __slots__ = ("_hops", "_how", "address", "is_trusted_peer")

    def __init__(self, address: str, *, is_trusted_peer: bool, how: str, hops: int = 0) -> None:
        self.address = address
        self.is_trusted_peer = is_trusted_peer
        self._how = how
        self._hops = hops

    @property
    def hops(self) -> int:
        """How many elements of the header led to it; 0 when no proxy told anything."""
        return self._hops

    @property
    def derivation(self) -> str:
        """How the address was found, for a person."""
        return self._how.format(hops=self._hops, next=self._hops + 1)


class ClientAddressResolver:
    """Finds the client behind declared proxies; with none declared, the peer is the client.

    `header` is the one that the proxies are known to set. `trusts_unix` declares that what connects
    to our unix sockets is a proxy, `trusted_peers` what connects from there: none of them is stepped
    over where a header names it.
    """

    __slots__ = ("_header", "_is_forwarded", "_peers", "_trusted", "_trusts_unix", "header")

    def __init__(
        self,
        trusted: Allowlist | None = None,
        header: Header = "x-forwarded-for",
        *,
        trusts_unix: bool = False,
        trusted_peers: Allowlist | None = None,
    ) -> None:
        self.header: Header = header
        self._header = header.encode("ascii")
        self._is_forwarded = header == "forwarded"
        self._trusted = trusted
        self._trusts_unix = trusts_unix
        self._peers = trusted_peers

    def resolve_peer(self, peer: str) -> ClientAddress:
        """Return what a connection alone tells; it holds for every request of an untrusted peer.

        `peer` is the socket's address, empty for a unix socket. Raises ValueError for anything
        else.
        """
        # The zone of a link-local peer is ours, not the peer's.
        address = normalise_address(peer.partition("%")[0]) if peer else ""
        is_trusted = self._trusts_peer(address) if address else self._trusts_unix
        how = "the peer is no declared proxy"
        if is_trusted:
            how = "the peer is a declared proxy and told nothing"
        return ClientAddress(address, is_trusted_peer=is_trusted, how=how)

    def resolve(self, peer: str, head: RequestHead) -> ClientAddress:
        """Return the client of one request that came from `peer` (as for `resolve_peer`)."""
        standing = self.resolve_peer(peer)
        if not standing.is_trusted_peer or self.header == "none":
            return standing
        hops = 0
        address = standing.address
        for text in self._elements(b",".join(head.values(self._header))):
            found = _parse_node(text)
            if found is None:
                how = (
                    self.header
                    + ": element {next} from the right is no address, so the walk ended before it"
                )
                return ClientAddress(address, is_trusted_peer=True, how=how, hops=hops)
            address = found
            hops += 1
            if not self._trusts(address):
                how = (
                    self.header
                    + ": element {hops} from the right is the first that is no declared proxy"
                )
                return ClientAddress(address, is_trusted_peer=True, how=how, hops=hops)
        if hops == 0:
            return standing
        how = self.header + ": all {hops} elements that were read are declared proxies"
        return ClientAddress(address, is_trusted_peer=True, how=how, hops=hops)

    def _trusts_peer(self, address: str) -> bool:
        return self._trusts(address) or (self._peers is not None and self._peers.allows(address))

    def _trusts(self, address: str) -> bool:
        return self._trusted is not None and self._trusted.allows(address)

    def _elements(self, value: bytes) -> Iterator[str]:
        """Yield what each element says about its client, from the right, at most `HOPS_MAX`."""
        if not value.strip():
            return
        if self._is_forwarded:
            yield from _forwarded_clients(value)
            return
        elements = value.rsplit(b",", HOPS_MAX)
        for element in elements[: -HOPS_MAX - 1 : -1]:
            yield element.strip(b" \t").decode("latin-1")


def _forwarded_clients(value: bytes) -> Iterator[str]:
    """Yield the `for` of each element from the right, empty for a malformed element.

    What a client wrote further left, such as a quote that it did not close, cannot change how the
    elements of our proxies are read: each is the shortest whole element behind a comma.
    """
    end = len(value)
    hops = 0
    while end > 0 and hops < HOPS_MAX:
        element = _last_element(value, end)
        clients = [
            token or _ESCAPED.sub(rb"\1", quoted)
            for name, quoted, token in _PAIRS.findall(element)
            if name.lower() == b"for"
        ]
        yield clients[0].decode("latin-1") if len(clients) == 1 else ""
        end -= len(element) + 1
        hops += 1


def _last_element(value: bytes, end: int) -> bytes:
    """Return the shortest whole element that ends at `end`, empty if there is none."""
    first = max(0, end - _ELEMENT_BYTES_MAX)
    comma = end
    for _ in range(_QUOTED_COMMAS_MAX):
        comma = value.rfind(b",", first, comma)
        if comma < 0 < first:
            break
        element = value[comma + 1 : end]
        if _ELEMENT.fullmatch(element) is not None:
            return element
        if comma < 0:
            break
    return b""


def _parse_node(text: str) -> str | None:
    """Return the address of `192.0.2.1[:80]`, `2001:db8::1` or `[2001:db8::1][:80]`, else None."""
    node = _NODE.fullmatch(text)
    if node is not None:
        if node[1] is not None and ":" not in node[1]:
            return None
        text = node[1] or node[2]
    try:
        return normalise_address(text)
    except ValueError:
        return None


class ForwardingFields:
    """Writes the forwarding fields of one connection's requests as ready header lines.

    What a declared proxy sent in the declared header is kept and our peer is appended; all else is
    replaced. So `X-Forwarded-Proto` and `-Host` are believed only beside a declared
    `X-Forwarded-For`, and `-Host` only if it `may_rename_host`: not every proxy sets that field,
    and where a route was chosen by the host, the upstream must not be told another one. `peer` is
    as for `resolve_peer`, `scheme` that of our listener. For a peer that is not trusted the lines
    are made once per authority, so nearly always once.
    """

    __slots__ = (
        "_authority",
        "_block",
        "_is_believed",
        "_may_rename_host",
        "_own",
        "_peer",
        "_scheme",
        "_sends_forwarded",
    )

    def __init__(
        self,
        resolver: ClientAddressResolver,
        peer: str,
        *,
        scheme: Literal["http", "https"],
        sends_forwarded: bool = False,
        may_rename_host: bool = True,
    ) -> None:
        standing = resolver.resolve_peer(peer)
        self._may_rename_host = may_rename_host
        self._peer = standing.address.encode("ascii")
        self._scheme = scheme.encode("ascii")
        self._sends_forwarded = sends_forwarded
        self._is_believed = standing.is_trusted_peer and resolver.header != "none"
        self._own = resolver.header
        self._authority: bytes | None = None
        self._block = b""

    def block(self, head: RequestHead, client: ClientAddress) -> bytes:
        """Return the lines (`Name: value\\r\\n`) for one request; `passage` drops all others."""
        if self._is_believed:
            return self._appended(head, client)
        if head.authority != self._authority:
            self._authority = head.authority
            self._block = self._write(self._peer, self._scheme, head.authority, b"")
        return self._block

    def _appended(self, head: RequestHead, client: ClientAddress) -> bytes:
        if self._own == "forwarded":
            chain = _joined(
                [client.address.encode("ascii")] if client.address.encode() != self._peer else []
            )
            told = _joined(head.values(b"forwarded"))
            return self._write(_joined([chain, self._peer]), self._scheme, head.authority, told)
        chain = _joined([*head.values(b"x-forwarded-for"), self._peer])
        schemes = head.values(b"x-forwarded-proto")
        hosts = head.values(b"x-forwarded-host") if self._may_rename_host else ()
        scheme = (
            schemes[0].lower()
            if len(schemes) == 1 and _SCHEME.fullmatch(schemes[0])
            else self._scheme
        )
        host = hosts[0] if len(hosts) == 1 and hosts[0] else head.authority
        return self._write(chain, scheme, host, b"")

    def _write(self, chain: bytes, scheme: bytes, host: bytes, told: bytes) -> bytes:
        lines = b"X-Forwarded-Proto: " + scheme + b"\r\n"
        if chain:
            lines = b"X-Forwarded-For: " + chain + b"\r\n" + lines
        if host:
            lines += b"X-Forwarded-Host: " + host + b"\r\n"
        if self._sends_forwarded:
            lines += b"Forwarded: " + _joined([told, self._element(scheme, host)]) + b"\r\n"
        return lines

    def _element(self, scheme: bytes, host: bytes) -> bytes:
        """Return our element of `Forwarded` (RFC 7239 section 4); IPv6 in brackets and quotes."""
        node = self._peer or b"unknown"
        if b":" in node:
            node = b'"[' + node + b']"'
        element = b"for=" + node + b";proto=" + scheme
        if host:
            element += b';host="' + host.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        return element


def _joined(values: list[bytes]) -> bytes:
    return b", ".join(value for value in values if value)
