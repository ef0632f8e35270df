"""Who makes requests, and from where: counted by the raw bytes, told by network, country and user agent.

What somebody sent is read only when it is drained, once for each address and each user agent that was seen, and
remembered. Nothing is kept of an address but its network. It must not know cells or stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.domain.networks import network_of
from gateway.domain.outcome import Outcome
from gateway.domain.redaction import Redactor
from gateway.domain.usage import OTHER, VALUE_LENGTH_MAX, FacetKind
from gateway.telemetry.access_lines import REMEMBERED_BYTES_MAX, REMEMBERED_MAX

VISITORS_MAX: Final = 50_000
"""Combinations of key, address and user agent that are told apart between two drains."""

_COUNTRY_LENGTH: Final = 2

Who = tuple[str, bytes]
"""The address, and the user agent as it was sent."""


class Visitor:
    """Whoever came with one key; times are monotonic seconds, `country` is what a trusted proxy says."""

    __slots__ = ("address", "agent", "country", "first", "last", "requests")

    def __init__(self, address: str, agent: bytes, country: bytes, started: float) -> None:
        self.address = address
        self.agent = agent
        self.country = country
        self.requests = 0
        self.first = self.last = started


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitorRules:
    """How visitors are told: addresses by networks of so many bits, user agents through `redactor`.

    `country_header` is the lower-case name of the field in which a proxy that `is_trusted` (asked with the peer's
    address) tells the country; empty: nobody tells it.
    """

    redactor: Redactor
    is_trusted: Callable[[str], bool]
    ipv4_prefix: int = 24
    ipv6_prefix: int = 56
    country_header: bytes = b""


class Visitors:
    """Tells visitors apart, `visitors_max` of them between two drains; further ones are `__other__`."""

    def __init__(self, rules: VisitorRules, *, visitors_max: int = VISITORS_MAX) -> None:
        self._visitors_max = visitors_max
        self._size = 0
        self._rules = rules
        self._networks: dict[str, str] = {}
        self._agents: dict[bytes, str] = {}

    def follow(self, rules: VisitorRules, visitors_max: int) -> None:
        """Go by other rules from now on."""
        self._rules = rules
        self._visitors_max = visitors_max
        self._networks.clear()
        self._agents.clear()

    # ---- while requests are answered

    def begin(self, known: dict[Who, Visitor], who: Who, outcome: Outcome) -> Visitor:
        """Return the visitor for a request of somebody who is not `known`."""
        self._size += 1
        if self._size > self._visitors_max:
            return _somebody(known, outcome)
        rules = self._rules
        country = b""
        if rules.country_header and rules.is_trusted(outcome.peer_address):
            values = outcome.head.values(rules.country_header)
            country = values[0] if len(values) == 1 else b""
        visitor = known[who] = Visitor(who[0], who[1], country, outcome.started)
        return visitor

    def begin_anew(self) -> None:
        """What was known is drained."""
        self._size = 0

    # ---- once a second

    def told(self, visitors: Iterable[Visitor]) -> Iterator[tuple[FacetKind, str, Visitor]]:
        """Yield what can be said of visitors: their network, user agent and, if it is told at all, country."""
        kinds = [FacetKind.NETWORK, FacetKind.USER_AGENT]
        if self._rules.country_header:
            kinds.append(FacetKind.COUNTRY)
        for visitor in visitors:
            for kind in kinds:
                yield kind, self._value(kind, visitor), visitor

    def _value(self, kind: FacetKind, visitor: Visitor) -> str:
        if visitor.address == OTHER:
            return OTHER
        if kind is FacetKind.NETWORK:
            return self._network(visitor.address)
        if kind is FacetKind.USER_AGENT:
            return self._agent(visitor.agent)
        return read_country(visitor.country)

    def _network(self, address: str) -> str:
        known = self._networks.get(address)
        if known is None:
            if len(self._networks) >= REMEMBERED_MAX:
                self._networks.clear()
            known = self._networks[address] = self._fold(address)
        return known

    def _fold(self, address: str) -> str:
        try:
            return network_of(address, self._rules.ipv4_prefix, self._rules.ipv6_prefix)
        except ValueError:
            return ""  # a unix socket

    def _agent(self, raw: bytes) -> str:
        known = self._agents.get(raw)
        if known is not None:
            return known
        # Redacted before it is cut: half a secret no longer looks like one.
        text = self._rules.redactor.redact(raw.decode("utf-8", "backslashreplace"))
        text = text[:VALUE_LENGTH_MAX]
        if len(raw) <= REMEMBERED_BYTES_MAX:
            if len(self._agents) >= REMEMBERED_MAX:
                self._agents.clear()
            self._agents[raw] = text
        return text


def read_country(raw: bytes) -> str:
    """Return the ISO code that a proxy has sent, in upper case; empty for anything that is none.

    CDNs send `XX` where they do not know, and such as `T1` for what is no country.
    """
    if len(raw) != _COUNTRY_LENGTH or not raw.isalpha():
        return ""
    code = raw.decode("ascii").upper()
    return "" if code == "XX" else code


def _somebody(known: dict[Who, Visitor], outcome: Outcome) -> Visitor:
    """Return the visitor that stands for all others."""
    who = (OTHER, b"")
    visitor = known.get(who)
    if visitor is None:
        visitor = known[who] = Visitor(OTHER, b"", b"", outcome.started)
    return visitor
