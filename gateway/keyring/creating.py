"""How a wish becomes a key: completed, judged by every rule and policy, minted, stored.

Knows what is refused and what only warned of. It must not know what becomes of the key afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from gateway.domain.blueprint import Blueprints, KeyWish
from gateway.domain.change import ChangeType, Order, described
from gateway.domain.key_rules import TENANTS_MAX, Problem, Refused
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.tenants import Tenant
from gateway.keyring.deliveries import Deliveries
from gateway.keyring.ledger import Act
from gateway.keyring.minting import Minted
from gateway.keyring.workshop import Workshop

_NAMESAKES_MAX: Final = 100  # keys of one name that are looked at for the warning


class Creation:
    """Creates keys. What it promises and raises is what `Keyring` does."""

    def __init__(
        self,
        workshop: Workshop,
        blueprints: Blueprints,
        scopes: ScopeCatalogue,
        deliveries: Deliveries,
    ) -> None:
        self._store = workshop.store
        self._ledger = workshop.ledger
        self._blueprints = blueprints
        self._rules = workshop.rules
        self._policies = workshop.policies
        self._scopes = scopes
        self._mint = workshop.mint
        self._deliveries = deliveries
        self._clock = workshop.clock

    async def create(
        self, wish: KeyWish, order: Order, delivery_seconds: float | None = None
    ) -> Minted:
        """Mint a key for `wish`, or for a link with which its secret is made."""
        now = self._clock.now()
        tenant = await self._ledger.tenant_in_use(wish.tenant_id)
        fields = self._blueprints.complete(wish, now, _default_template(tenant))
        overstay = self._policies.overstay(fields, now)
        problems = [
            *self._blueprints.problems(wish, fields),
            *self._rules.problems(fields, now),
            *_unknown({"/tenant_id": wish.tenant_id} if tenant is None else {}),
            *(await self.tenants_problems(wish.tenants)),
        ]
        if overstay is not None and overstay.is_enforced:
            problems.append(("/expires_at", overstay.text))
        if problems:
            raise Refused(problems)
        record, secret = self._mint.key(fields, now, has_secret=delivery_seconds is None)
        act = Act([(None, record)])
        delivery, token, about = None, "", ""
        if delivery_seconds is not None:
            delivery, token = self._deliveries.opened(record, delivery_seconds)
            act.moves.append((None, delivery))
            about = delivery.delivery_id
        event, after = ChangeType.KEY_CREATED, described(record)
        act.changes.append(self._ledger.change(record, event, order, after=after, subject_id=about))
        warnings = [*self._warnings(wish, record), *(await self._namesakes(record))]
        if overstay is not None:
            warnings.append(overstay.text)
        enacted = await self._ledger.enact(_always(act), order)
        return Minted(
            record=enacted.the(KeyRecord, record.key_id),
            secret="" if order.is_dry_run else secret,
            warnings=tuple(warnings),
            enforced=enacted.enforced,
            delivery=enacted.delivery,
            delivery_token="" if order.is_dry_run else token,
        )

    async def kind_of(self, wish: KeyWish) -> KeyKind:
        """Return the kind of key that `wish` leads to."""
        tenant = await self._ledger.tenant_in_use(wish.tenant_id)
        fields = self._blueprints.complete(wish, self._clock.now(), _default_template(tenant))
        is_multi = fields["kind"] == KeyKind.MULTI_TENANT
        return KeyKind.MULTI_TENANT if is_multi else KeyKind.REGULAR

    async def tenants_problems(self, ids: Collection[str]) -> list[Problem]:
        """Say which further tenants of a key there are not; of too many, nobody looks."""
        if len(ids) > TENANTS_MAX:
            return []
        asked = {f"/tenants/{n}": each for n, each in enumerate(ids)}
        return _unknown(
            {
                pointer: each
                for pointer, each in asked.items()
                if await self._ledger.tenant_in_use(each) is None
            }
        )

    def _warnings(self, wish: KeyWish, record: KeyRecord) -> list[str]:
        template = self._blueprints.template_of(wish)
        if not template.name or wish.scopes is None:
            return []
        extra = self._scopes.granted(record.scopes) - self._scopes.granted(template.scopes)
        text = f"the key may do more than template '{template.name}': {', '.join(sorted(extra))}"
        return [text] if extra else []

    async def _namesakes(self, record: KeyRecord) -> list[str]:
        """Warn of another key of the tenant with the same name that is not revoked (HP-3)."""
        where = {"tenant_id": record.tenant_id, "name": record.name}
        found = await self._store.page(KeyRecord, where=where, limit=_NAMESAKES_MAX)
        in_use = [each.key_id for each in found if each.state is not KeyState.REVOKED]
        return [f"another key of the tenant has this name: {in_use[0]}"] if in_use else []


def _default_template(tenant: Tenant | None) -> str:
    return "" if tenant is None else tenant.default_template


def _unknown(tenants: dict[str, str]) -> list[Problem]:
    return [(pointer, f"there is no tenant '{each}'") for pointer, each in tenants.items()]


def _always(act: Act) -> Callable[[], Awaitable[Act]]:
    async def plan() -> Act:
        return act

    return plan
