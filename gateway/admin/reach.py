"""Whose records a token reaches: all, or those of one tenant and its children.

Knows that what is out of reach does not exist for whoever asks. It must not know roles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.deliveries import Delivery
from gateway.domain.incidents import Incident
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.keys import KeyRecord
from gateway.domain.rotations import Rotation
from gateway.domain.tenants import Tenant
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound, missing
from gateway.ports import Record

_PAGE: Final = 1000

NAMED: Final[dict[str, type[Record]]] = {
    "key_id": KeyRecord,
    "tenant_id": Tenant,
    "rotation_id": Rotation,
    "incident_id": Incident,
    "delivery_id": Delivery,
    "token_id": AdminToken,
}
"""The variables of paths, and the records that they name."""


class Reach:
    """What is within reach: everything with an empty `tenant_id`, else that tenant and its children."""

    def __init__(self, keyring: Keyring, tenant_id: str = "") -> None:
        self._keyring = keyring
        self.tenant_id = tenant_id

    @property
    def is_everything(self) -> bool:
        """Tell whether nothing is out of reach."""
        return not self.tenant_id

    async def includes(self, tenant_id: str) -> bool:
        """Tell whether what belongs to this tenant is within reach."""
        if self.is_everything or tenant_id == self.tenant_id:
            return True
        if not tenant_id:
            return False
        try:
            tenant = await self._keyring.tenants.get(tenant_id)
        except NotFound:
            return False
        return tenant.parent_id == self.tenant_id

    async def tenant_ids(self) -> tuple[str, ...] | None:
        """Return the tenants whose records may be seen; None for all."""
        if self.is_everything:
            return None
        found = [self.tenant_id]
        after = ""
        while True:
            page = await self._keyring.tenants.page(
                parent_id=self.tenant_id, with_deleted=True, after=after, limit=_PAGE
            )
            found += [tenant.tenant_id for tenant in page.records]
            after = page.cursor
            if not after:
                return tuple(found)

    async def require(self, kind: type[Record], record_id: str) -> None:
        """Raise `NotFound` for a record out of reach, with the words that are used when it does not exist.

        Where all is within reach, nothing is looked at.
        """
        if self.is_everything:
            return
        record = await self._keyring.read(kind, record_id)
        if not await self.includes(record.tenant_id):
            raise missing(kind, record_id)

    async def require_tenants(self, pointers: Iterable[tuple[str, str]]) -> None:
        """Raise `Refused` for tenants that a body names and that are out of reach: pairs of a pointer and an id."""
        problems: list[Problem] = []
        for pointer, tenant_id in pointers:
            if not await self.includes(tenant_id):
                problems.append((pointer, f"there is no tenant '{tenant_id}'"))
        if problems:
            raise Refused(problems)
