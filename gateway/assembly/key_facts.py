"""What the configuration in force says about keys, for reports over them.

Knows plans and routes as configured. It must not know usage, nor what a report makes of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.assembly import policy
from gateway.config import model
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant


class ConfiguredFacts:
    """Implements `admin.key_reports.KeyFacts` over the configuration that `config` returns."""

    def __init__(self, config: Callable[[], model.Config]) -> None:
        self._config = config
        self._limiting: tuple[model.Config | None, frozenset[str]] = (None, frozenset())

    def is_limited(self, key: KeyRecord, tenant: Tenant) -> bool:
        """Tell whether any plan limits a key of `tenant`; one without limits or in shadow mode limits nobody."""
        config = self._config()
        try:
            names = policy.plan_names(config, key, tenant)
        except LookupError:
            return True  # its environment left the config: it cannot be used at all
        return not self._plans(config).isdisjoint(names)

    def scopes_of_routes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the scopes that each route asks for, also those that it only would ask for (shadow mode)."""
        return {route.name: route.scopes for route in self._config().routes}

    def _plans(self, config: model.Config) -> frozenset[str]:
        """Return the plans that limit those who are on them."""
        if self._limiting[0] is not config:
            plans, for_callers = policy.plans(config), policy.caller_plans(config)
            limiting = frozenset(
                name
                for name, plan in plans.items()
                if plan.rules and not plan.is_shadow and name in for_callers
            )
            self._limiting = (config, limiting)
        return self._limiting[1]
