"""What rules in shadow mode would have refused, summed up from the request log; and whom a new list would refuse.

Knows the fields of a logged request and how they are grouped. It must not know where requests are logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.networks import Allowlist

GROUPS_MAX: Final = 10_000
"""Groups that are told apart; a report that nobody can read to its end is none."""


@dataclass(slots=True, kw_only=True)
class Group:
    """Requests that the same rule would have refused, of the same key on the same route from the same address.

    Times are RFC 3339 in UTC.
    """

    rule: str
    reason: str
    key_id: str | None
    tenant_id: str | None
    route: str
    client_address: str
    requests: int
    first_seen: str
    last_seen: str


class WouldBlock:
    """Sums up logged requests. `is_complete` is False once there were more than `groups_max` groups."""

    def __init__(self, groups_max: int = GROUPS_MAX) -> None:
        self.is_complete = True
        self.findings = 0
        self._groups_max = groups_max
        self._groups: dict[tuple[Any, ...], Group] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Count the rules that would have refused `row`, each with its reason."""
        for rule, reason in zip(row["shadow_rules"], row["shadow"], strict=True):
            self.findings += 1
            self._count(row, rule, reason)

    def groups(self) -> list[Group]:
        """Return the groups, those with the most requests first."""
        return sorted(self._groups.values(), key=lambda group: -group.requests)

    def _count(self, row: Mapping[str, Any], rule: str, reason: str) -> None:
        key = (rule, reason, row["key_id"], row["route"], row["client_address"])
        moment = row["ts"]
        group = self._groups.get(key)
        if group is not None:
            group.requests += 1
            group.first_seen = min(group.first_seen, moment)
            group.last_seen = max(group.last_seen, moment)
        elif len(self._groups) >= self._groups_max:
            self.is_complete = False
        else:
            self._groups[key] = Group(
                rule=rule,
                reason=reason,
                key_id=row["key_id"],
                tenant_id=row["tenant_id"],
                route=row["route"],
                client_address=row["client_address"],
                requests=1,
                first_seen=moment,
                last_seen=moment,
            )


class Visitors:
    """Who came lately, by address: what a list that is to be enforced is tried on."""

    def __init__(self, addresses_max: int = GROUPS_MAX) -> None:
        self.is_complete = True
        self.requests: dict[str, int] = {}
        self.last_seen: dict[str, str] = {}
        self._addresses_max = addresses_max

    def add(self, address: str, requests: int, last_seen: str) -> None:
        """Count `requests` from `address`, the last one at `last_seen` (RFC 3339 in UTC)."""
        if address not in self.requests and len(self.requests) >= self._addresses_max:
            self.is_complete = False
            return
        self.requests[address] = self.requests.get(address, 0) + requests
        self.last_seen[address] = max(self.last_seen.get(address, ""), last_seen)

    def refused_by(self, allowlist: Allowlist) -> Iterator[tuple[str, int, str]]:
        """Yield address, requests and last time of whom `allowlist` would refuse, who came most often first."""
        for address, requests in sorted(self.requests.items(), key=lambda pair: -pair[1]):
            if not allowlist.allows(address):
                yield address, requests, self.last_seen[address]
