"""Whoever calls the admin API with a token that is bound to `ten_a`, and who there is besides."""

from __future__ import annotations

from typing import Any

from gateway.domain.admin_tokens import Role
from gateway.keyring.door import Keyring
from tests.admin.caller import Caller
from tests.key_samples import ORDER

OWN = ("ten_a", "ten_child")
PARENTS = {"ten_a": "", "ten_child": "ten_a", "ten_b": "", "ten_child_of_b": "ten_b"}
"""All tenants, and whose children they are."""


class As(Caller):
    """Calls with the token of somebody."""

    token = ""

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        options["headers"] = {"Authorization": f"Bearer {self.token}"} | options.get("headers", {})
        return await super().__call__(method, path, body, **options)

    async def become(self, keyring: Keyring, role: Role, tenant_id: str = "") -> None:
        """Go on with a new token."""
        minted = await keyring.admin_tokens.create("somebody", role, ORDER, tenant_id=tenant_id)
        self.token = minted.secret
