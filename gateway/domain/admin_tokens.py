"""Admin tokens: who may operate the gateway, and as what.

Knows roles and what each may do. It must not know how a token is carried or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a token is for."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    AUDITOR = "auditor"


class Right(StrEnum):
    """What an act of the admin API needs."""

    READ = "read"  # keys, tenants, rotations, streams, upstreams
    AUDIT = "audit"  # the audit trail and the request log
    OPERATE = "operate"  # create, change and end keys; reload
    ADMINISTER = "administer"  # tenants, admin tokens, multi-tenant keys, pruning


RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.AUDITOR: frozenset({Right.READ, Right.AUDIT}),
    Role.OPERATOR: frozenset({Right.READ, Right.AUDIT, Right.OPERATE}),
    Role.ADMIN: frozenset(Right),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminToken:
    """One admin token as the store holds it; the token itself is nowhere. Times are epoch seconds (UTC).

    `tenant_id` binds it to one tenant and its children: it sees and changes nothing else. Empty: all tenants.
    """

    token_id: str
    name: str
    role: Role
    tenant_id: str = ""
    digest: bytes = field(repr=False)
    pepper_id: str
    display: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    revision: int = 0

    def is_usable_at(self, now: float) -> bool:
        """Tell whether the token opens anything at `now` (epoch seconds)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
