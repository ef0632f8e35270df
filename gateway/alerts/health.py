"""Looks at the gateway itself.

Knows that losses are told by comparing two looks. It must not know from where readings come: `read` takes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.alerts.duty import found_at
from gateway.alerts.looking import Look, Round
from gateway.domain.alert_rules.catalogue import RULES, RuleName
from gateway.domain.alert_rules.health import Health, unhealthy


class HealthLook:
    """Compares what `read` returns with what it returned before; `node` is our name among several gateways."""

    def __init__(self, read: Callable[[], Awaitable[Health]], node: str = "") -> None:
        self._read = read
        self._node = node
        self._before: Health | None = None

    async def look(self, this: Round, store_fault: str = "") -> Look:
        """Return what is found; `store_fault` is what went wrong with the store in this round, if anything did."""
        health = await self._read()
        if store_fault:
            health = replace(health, store_fault=store_fault)
        book = this.settings.book
        found = [
            found_at(self._node, each) if self._node else each
            for each in unhealthy(health, self._before, book, this.now)
            if book[RuleName(each.rule)].is_enabled
        ]
        self._before = health
        return Look(
            findings=found, judges=lambda alert: not RULES[RuleName(alert.rule)].is_of_tenant
        )
