"""Which address rules concern a request, and what each says to one address.

Knows the lists of a route, a tenant and a key, whatever their mode, so that a person can be told of all of them. Those
that requests are judged by were compiled from the same entries. It must not know where an address came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.domain.keys import KeyRecord
from gateway.domain.networks import Allowlist, neighbourhood
from gateway.domain.routes import Route
from gateway.domain.shadow import ENFORCE, SHADOW
from gateway.domain.tenants import Tenant

OFF: Final = "off"
"""The mode of a list that is kept and not applied."""

NEIGHBOURHOODS_MANY: Final = 8
"""From so many networks on, whoever uses a key has no static addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressVerdict:
    """What one list says to an address. `network` is the entry that allows it, empty when none does."""

    rule: str
    mode: str
    network: str

    @property
    def is_allowed(self) -> bool:
        """Tell whether the list, in whatever mode, allows the address."""
        return bool(self.network)

    @property
    def refuses(self) -> bool:
        """Tell whether requests are refused for this list."""
        return self.mode == ENFORCE and not self.network


def judge_address(
    address: str, *, route: Route | None, tenant: Tenant | None, key: KeyRecord | None
) -> list[AddressVerdict]:
    """Return what every list that is not empty says to `address`: those of `route`, `tenant` and `key`."""
    return [
        AddressVerdict(
            rule=f"{allowlist.owner}_ip", mode=mode, network=allowlist.containing(address)
        )
        for mode, allowlist in _lists(route, tenant, key)
    ]


def _lists(
    route: Route | None, tenant: Tenant | None, key: KeyRecord | None
) -> Iterator[tuple[str, Allowlist]]:
    if route is not None:
        if route.allowlist is not None:
            yield ENFORCE, route.allowlist
        for allowlist in () if route.shadow is None else route.shadow.allowlists:
            yield SHADOW, allowlist
    if tenant is not None and tenant.ip_allowlist:
        mode = tenant.ip_allowlist_mode if tenant.ip_allowlist_enabled else OFF
        yield mode, Allowlist(tenant.ip_allowlist, "tenant")
    if key is not None and key.ip_allowlist:
        yield key.ip_allowlist_mode, Allowlist(key.ip_allowlist, "key")


def neighbourhoods(addresses: Iterable[str]) -> frozenset[str]:
    """Return the networks that `addresses` come from; what is no address (a unix socket) comes from none."""
    found = set()
    for address in addresses:
        if address:
            found.add(neighbourhood(address))
    return frozenset(found)
