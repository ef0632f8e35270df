"""What the admin API reads and writes about admin tokens, as JSON.

Only `NewAdminToken` has a field for a secret.
"""

from __future__ import annotations

from typing import Self

from pydantic import AwareDatetime, Field

from gateway.admin.shapes import Shape, View
from gateway.admin.wire import Duration, Name, expiry, instant
from gateway.domain.admin_tokens import AdminToken, Right, Role


class AdminTokenCreate(Shape):
    """The body of `POST /admin-tokens`. With a `tenant_id` the token reaches that tenant and its children only."""

    name: Name
    role: Role = Field(strict=False)
    tenant_id: str = ""
    expires_at: AwareDatetime | None = None
    expires_in: Duration | None = None

    def until(self, now: float) -> float | None:
        """Return when the token ends (epoch seconds), None for never."""
        return expiry(self.expires_at, self.expires_in, now)


class AdminTokenView(View):
    """An admin token as everyone with access may see it. `last_used_at` is exact to a minute."""

    token_id: str
    name: str
    role: Role
    tenant_id: str
    display: str
    pepper_id: str
    is_usable: bool
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    revision: int

    @classmethod
    def of(cls, token: AdminToken, now: float) -> Self:
        """Show `token`; `now` is epoch seconds."""
        names = cls.model_fields.keys() - {"is_usable"}
        values = {name: getattr(token, name) for name in names}
        times = {name: instant(values[name]) for name in names if name.endswith("_at")}
        return cls(**(values | times), is_usable=token.is_usable_at(now))


class NewAdminToken(View):
    """The answer to `POST /admin-tokens`: the secret is never shown again. A dry run has none."""

    token: AdminTokenView
    secret: str | None = Field(repr=False)


class WhoAmI(View):
    """The answer to `GET /whoami`: who asks, as what, and what that allows.

    `token_id` is null for a peer of the unix socket and for the token of the configuration, `tenant_id` for whoever
    reaches all tenants.
    """

    name: str
    address: str
    role: Role
    rights: tuple[Right, ...]
    token_id: str | None
    tenant_id: str | None
    expires_at: str | None
