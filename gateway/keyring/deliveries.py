"""Links that give a new key's secret once (HT-3).

Knows that no secret is stored for one, not even encrypted: the key is made with a digest that nothing hashes to, and
its secret in the moment in which the link is used. It must not know how a link is carried to whom.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

from gateway.domain.change import Actor, ChangeType, Order
from gateway.domain.deliveries import Delivery
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import Sort
from gateway.keyring.ledger import Act, NotFound, Page, among
from gateway.keyring.minting import Minted
from gateway.keyring.workshop import Workshop

DELIVERY_PREFIX: Final = "thd_"
DELIVERY_SECONDS_MAX: Final = (
    30 * 86_400.0
)  # a link that nobody used for a month is one that somebody else may find
_RANDOM_LENGTH: Final = 43  # Base62: 256 bits
_TOKEN_LENGTH_MAX: Final = 100

_GONE: Final = "this link is not known, was used, or has expired"


class Deliveries:
    """Opens links and redeems them. What it promises and raises is what `Keyring` does."""

    def __init__(self, workshop: Workshop) -> None:
        self._store = workshop.store
        self._ledger = workshop.ledger
        self._mint = workshop.mint
        self._clock = workshop.clock

    def opened(self, key: KeyRecord, seconds: float) -> tuple[Delivery, str]:
        """Return a new delivery of `key`, yet to be committed, and what its link holds. Raises `Refused`."""
        if not 0 < seconds <= DELIVERY_SECONDS_MAX:
            text = f"must be more than 0 and at most {DELIVERY_SECONDS_MAX:.0f} seconds"
            raise Refused([("/delivery_seconds", text)])
        token = DELIVERY_PREFIX + self._mint.token(_RANDOM_LENGTH)
        now = self._clock.now()
        delivery = Delivery(
            delivery_id=self._mint.new_id("dlv"),
            digest=_digest(token),
            key_id=key.key_id,
            tenant_id=key.tenant_id,
            created_at=now,
            expires_at=now + seconds,
        )
        return delivery, token

    async def redeem(self, token: str, address: str) -> Minted:
        """Make the secret of the key that the link is for, and return it: to the first who asks, and to nobody else.

        Raises `NotFound` for a link that is unknown, used or expired, also when its key is revoked or expired.
        """
        secret = ""
        delivery_id = ""

        async def plan() -> Act:
            nonlocal secret, delivery_id
            delivery, key = await self._open_one(token)
            delivery_id = delivery.delivery_id
            order = Order(actor=Actor(kind="delivery", name=delivery_id, address=address))
            sealed, secret = self._mint.with_secret(key)
            used = replace(delivery, redeemed_at=self._clock.now(), redeemed_from=address)
            told = self._ledger.change(
                sealed,
                ChangeType.KEY_DELIVERED,
                order,
                before={"display": key.display},
                after={"display": sealed.display},
                subject_id=delivery_id,
            )
            return Act([(key, sealed), (delivery, used)], [told])

        enacted = await self._ledger.enact(plan, Order(actor=Actor(kind="delivery", name="")))
        delivery = enacted.the(Delivery, delivery_id)
        return Minted(
            record=enacted.the(KeyRecord, delivery.key_id),
            secret=secret,
            enforced=enacted.enforced,
            delivery=delivery,
        )

    async def is_open(self, token: str) -> bool:
        """Tell whether the link would give a secret now. Nothing is taken, and nothing is told."""
        try:
            await self._open_one(token)
        except NotFound:
            return False
        return True

    async def get(self, delivery_id: str) -> Delivery:
        """Return the delivery."""
        return await self._ledger.read(Delivery, delivery_id)

    async def page(
        self,
        *,
        tenant_id: str = "",
        tenant_ids: tuple[str, ...] | None = None,
        key_id: str = "",
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> Page[Delivery]:
        """Return one page of deliveries, among those of `tenant_ids` (None: all)."""
        where = {"tenant_id": among(tenant_id, tenant_ids), "key_id": key_id}
        return await self._ledger.page(Delivery, where=where, after=after, limit=limit, sort=sort)

    async def _open_one(self, token: str) -> tuple[Delivery, KeyRecord]:
        if len(token) > _TOKEN_LENGTH_MAX:
            raise NotFound(_GONE)
        found = await self._store.page(Delivery, where={"digest": _digest(token)}, limit=1)
        now = self._clock.now()
        if not found or not found[0].is_open_at(now):
            raise NotFound(_GONE)
        key = await self._ledger.read(KeyRecord, found[0].key_id)
        if key.state_at(now) in (KeyState.REVOKED, KeyState.EXPIRED):
            raise NotFound(_GONE)
        return found[0], key


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
