"""Who makes requests, and from where: counted by the raw bytes, told by network, country and user agent.

What somebody sent is read only when it is drained, once for each address and each user agent that was seen, and
remembered. Nothing is kept of an address but its network. It must not know cells or stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.domain.keys import BoundKey
from gateway.domain.networks import network_of
from gateway.domain.outcome import Outcome
from gateway.domain.redaction import Redactor
from gateway.domain.usage import OTHER, VALUE_LENGTH_MAX, Facet, FacetKind
from gateway.telemetry.access_lines import REMEMBERED_BYTES_MAX, REMEMBERED_MAX

VISITORS_MAX: Final = 100_000
"""Combinations of key, address and user agent that are told apart between two drains."""

_COUNTRY_LENGTH: Final = 2

_Who = tuple[str, str, bytes]
"""Which key acts for whom, the address, and the user agent as it was sent."""


class Visitor:
    """One of `_Who`: times are monotonic seconds, `country` is what a trusted proxy says."""

    __slots__ = ("address", "agent", "country", "first", "key", "last", "requests")

    def __init__(
        self, key: BoundKey | None, address: str, agent: bytes, country: bytes, started: float
    ) -> None:
        self.key = key
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

    def follow(self, rules: VisitorRules) -> None:
        """Go by other rules from now on."""
        self._rules = rules
        self._networks.clear()
        self._agents.clear()

    # ---- while requests are answered

    def begin(self, known: dict[_Who, Visitor], who: _Who, outcome: Outcome) -> Visitor:
        """Return the visitor for a request of somebody who is not `known`."""
        self._size += 1
        if self._size > self._visitors_max:
            return _somebody(known, outcome)
        rules = self._rules
        country = b""
        if rules.country_header and rules.is_trusted(outcome.peer_address):
            values = outcome.head.values(rules.country_header)
            country = values[0] if len(values) == 1 else b""
        visitor = Visitor(outcome.key, who[1], who[2], country, outcome.started)
        known[who] = visitor
        return visitor

    def begin_anew(self) -> None:
        """What was known is drained."""
        self._size = 0

    # ---- once a second

    def facets(self, hour: int, visitors: Iterable[Visitor], offset: float) -> Iterator[Facet]:
        """Yield what is known of visitors; `offset` seconds make epoch time of monotonic time."""
        kinds = [FacetKind.NETWORK, FacetKind.USER_AGENT]
        if self._rules.country_header:
            kinds.append(FacetKind.COUNTRY)
        for visitor in visitors:
            key_id, tenant_id = _owner(visitor)
            for kind in kinds:
                yield Facet(
                    start=hour,
                    tenant_id=tenant_id,
                    key_id=key_id,
                    kind=kind,
                    value=self._value(kind, visitor),
                    requests=visitor.requests,
                    first_at=visitor.first + offset,
                    last_at=visitor.last + offset,
                )

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


def _somebody(known: dict[_Who, Visitor], outcome: Outcome) -> Visitor:
    """Return the visitor that stands for all others, with whatever key."""
    who = (OTHER, OTHER, b"")
    visitor = known.get(who)
    if visitor is None:
        visitor = known[who] = Visitor(None, OTHER, b"", b"", outcome.started)
    return visitor


def _owner(visitor: Visitor) -> tuple[str, str]:
    if visitor.address == OTHER:
        return OTHER, ""
    key = visitor.key
    return ("", "") if key is None else (key.record.key_id, key.tenant.tenant_id)
