"""Tenants and keys that the file declares: at start they are written to the store, or brought up to date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config.sections.base import Section, Shorthand
from gateway.config.sections.routing import IpAllowlist
from gateway.config.sections.values import (
    Flag,
    Granted,
    Label,
    Mode,
    Name,
    OptionalName,
    Tag,
    Text,
)
from gateway.config.sections.wire import Network

METADATA_BYTES_MAX: Final = 4096
"""It is held in memory with every cached key."""


def read_instant(value: object) -> object:
    """Return epoch seconds for an RFC 3339 time with offset (`2027-01-31T00:00:00Z`)."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("is not a time: write 2027-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("needs an offset: write 2027-01-31T00:00:00Z")
    return moment.astimezone(UTC).timestamp()


def _small(value: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise ValueError("holds a number that JSON cannot carry") from None
    if size > METADATA_BYTES_MAX:
        raise ValueError(f"is larger than {METADATA_BYTES_MAX} bytes as JSON")
    return value


Instant = Annotated[
    float, BeforeValidator(read_instant), Label("RFC 3339 time"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]  # fmt: skip
Metadata = Annotated[Mapping[str, Any], AfterValidator(_small), Label("JSON object")]
Digest = Annotated[
    str,
    Text(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits: HMAC-SHA256(pepper, key)"),
    Label("64 hexadecimal digits"),
]


class TenantAllowlist(IpAllowlist):
    """Addresses that may use the tenant's keys; a bare list stands for `allow`."""

    enabled: Flag = True
    """Off keeps the list without applying it."""


class BootstrapTenant(Section):
    """A tenant: who owns keys."""

    id: Name
    """Stable id, chosen here."""
    name: Annotated[str, Field(min_length=1, max_length=100), Label("text")]
    """Name for people."""
    plan: OptionalName = ""
    """Plan of the tenant and of its keys without one. Empty: no limits."""
    ip_allowlist: Annotated[TenantAllowlist, Shorthand("allow")] = Field(
        default_factory=TenantAllowlist
    )
    """Addresses that may use the tenant's keys."""
    default_template: OptionalName = ""
    """Template of its new keys that are created with neither scopes nor a template. Empty: the one
    called `default`, if there is one."""
    parent: OptionalName = ""
    """The tenant that this one belongs to (a partner's customer): its `multi_tenant` keys may act for
    this one. Empty: it stands by itself."""
    alerts: Metadata | None = None
    """Its business hours, and what it wants of each rule, as `PATCH /tenants` takes it. Null leaves what
    is stored."""
    metadata: Metadata = Field(default_factory=dict)
    """Free JSON object."""


class BootstrapKey(Section):
    """A key, by its hash: the secret is never in a file."""

    id: Name
    """Stable public id, chosen here; it is also the lineage."""
    tenant: Name
    """Id of the owner, one of `bootstrap.tenants`."""
    name: Annotated[str, Field(min_length=1, max_length=100), Label("text")]
    """Name for people."""
    format: Name
    """Key format that the token has."""
    environment: Annotated[str, Label("name")]
    """Environment that the key belongs to."""
    kind: Literal["regular", "multi_tenant"] = "regular"
    """`multi_tenant` acts for the children of its tenant and for `tenants`; see `tenancy`."""
    tenants: tuple[Name, ...] = Field((), max_length=1000)
    """Further tenants that a `multi_tenant` key may act for."""
    hash: Digest
    """HMAC-SHA256 of the whole key under `pepper`."""
    pepper: Name
    """Id of the pepper that the hash was made with."""
    display: Annotated[str, Field(max_length=40), Label("text")] = ""
    """What people may see of the key, such as `sk_live_ab12...wxyz`."""
    scopes: tuple[Granted, ...] = ()
    """What the key may do: atoms, bundles, wildcards. Nothing by default."""
    ip_allowlist: tuple[Network, ...] = Field((), max_length=256)
    """Addresses that may use the key. Empty allows every address."""
    ip_allowlist_mode: Mode = "enforce"
    """`shadow` finds out and counts what the list would refuse, and refuses nothing."""
    plan: OptionalName = ""
    """Plan of the key. Empty: the tenant's."""
    tags: tuple[Tag, ...] = Field((), max_length=20)
    """Tags, for searching."""
    metadata: Metadata = Field(default_factory=dict)
    """Free JSON object."""
    expires_at: Instant | None = None
    """When the key stops working. Null: never."""


class Bootstrap(Section):
    """Tenants and keys that must exist, for installations that are kept in version control."""

    tenants: tuple[BootstrapTenant, ...] = ()
    """Tenants to create, or to bring up to date; a suspended one stays suspended."""
    keys: tuple[BootstrapKey, ...] = ()
    """Keys to create, or to bring up to date; a revoked one stays revoked."""
