"""Admin tokens: who may operate the gateway, and as what.

Knows roles, what each may do, and the shape of a token: `tha_<random><checksum>`. It must not know how a token is
carried or stored, and it makes no randomness: who mints brings it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.domain.key_format import CHECKSUM_LENGTH, checksum

PREFIX: Final = "tha_"
RANDOM_LENGTH: Final = 43  # Base62: 256 bits, as for keys
_LENGTH: Final = len(PREFIX) + RANDOM_LENGTH + CHECKSUM_LENGTH
_SHOWN: Final = 4


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


def roles_with(right: Right) -> tuple[Role, ...]:
    """Return the roles that may do what needs `right`."""
    return tuple(role for role in Role if right in RIGHTS[role])


def minted(random_characters: str) -> str:
    """Put a token together from `RANDOM_LENGTH` Base62 characters."""
    body = PREFIX + random_characters
    return body + checksum(body.encode()).decode()


def is_well_formed(token: bytes) -> bool:
    """Tell whether `token` can be an admin token: what cannot be one, nobody needs to look for."""
    return (
        len(token) == _LENGTH
        and token.startswith(PREFIX.encode())
        and token[len(PREFIX) :].isalnum()
        and checksum(token[:-CHECKSUM_LENGTH]) == token[-CHECKSUM_LENGTH:]
    )


def display(token: str) -> str:
    """Return what a person may see of `token`: 4 random characters, and the last 4 of the checksum."""
    return f"{token[: len(PREFIX) + _SHOWN]}…{token[-_SHOWN:]}"


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
