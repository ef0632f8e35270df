"""Which alerts are this gateway's to judge, among several that share a store.

Knows that one of them, the leader, judges what keys do; that each judges its own readings, because no other can take
them; and that the leader ends what was told of a gateway that is gone. It must not know how gateways hear of each
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alerts import Alert, Finding

_NODE: Final = "node"


@dataclass(frozen=True, slots=True)
class Duty:
    """What is to be judged by the gateway that is called `node`: empty for one that shares its store with nobody.

    `others` are the names of those that are about.
    """

    node: str = ""
    leads: bool = True
    others: frozenset[str] = frozenset()

    def covers(self, alert: Alert) -> bool:
        """Tell whether it is ours to say what becomes of an open alert."""
        if RULES[RuleName(alert.rule)].is_of_tenant:
            return self.leads
        node = node_of(alert.details)
        return node == self.node or (self.leads and node not in self.others)


ALL: Final = Duty()
"""What a gateway has to do that is alone with its store."""


def node_of(details: Mapping[str, Any]) -> str:
    """Return the gateway that a finding or an alert is about; empty where there is only one."""
    return str(details.get(_NODE, ""))


def found_at(node: str, finding: Finding) -> Finding:
    """Return a finding about the gateway that is called `node`: other ones may find the same about themselves."""
    subject = f"{node}: {finding.subject}" if finding.subject else node
    return replace(finding, subject=subject, details={**finding.details, _NODE: node})
