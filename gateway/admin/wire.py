"""What the admin API reads and writes, as JSON.

Knows names, types and defaults on the wire. Times are RFC 3339 in UTC; durations are `30d` or ISO
8601. It must not judge values: the keyring does, for every door alike. No shape but `NewKey` has a
field for a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self, cast

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.domain.blueprint import KeyWish
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.streams import StreamKind, StreamReport
from gateway.domain.tenants import Tenant
from gateway.keyring.door import KeyChanges
from gateway.keyring.tenants import TenantChanges

SECRET_LENGTH_MAX: Final = 512
_UNITS: Final[Mapping[str, str]] = {
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}
_SHORT: Final = re.compile(r"([0-9]{1,9})([smhdw])")


def instant(moment: float | None) -> str | None:
    """Return epoch seconds as RFC 3339 in UTC, to the second unless there are fractions."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _read_duration(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a text such as 30d or P30D")  # noqa: TRY004 - pydantic's protocol
    found = _SHORT.fullmatch(value)
    if found is None:
        return value
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise ValueError("is too long") from None


Duration = Annotated[
    timedelta, BeforeValidator(_read_duration), Field(gt=timedelta(0), strict=False)
]
Period = Annotated[timedelta, BeforeValidator(_read_duration), Field(ge=timedelta(0), strict=False)]
"""A duration that may be none at all."""

Names = tuple[str, ...]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class KeyCreate(_Shape):
    """The body of `POST /keys`. What is left out comes from the template, or is the only choice."""

    tenant_id: str
    name: str
    environment: str = ""
    scopes: Names | None = None
    template: str = ""
    format: str = ""
    plan: str = ""
    ip_allowlist: Names | None = None
    expires_at: AwareDatetime | None = None
    expires_in: Duration | None = None
    tags: Names | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    def wish(self, now: float) -> KeyWish:
        """Return what is asked for; `expires_in` counts from `now` (epoch seconds)."""
        values = self.model_dump(exclude={"expires_at", "expires_in"})
        return KeyWish(**values, expires_at=_expiry(self, now))


class KeyUpdate(_Shape):
    """The body of `PATCH /keys/{key_id}`: a JSON merge patch (RFC 7396), so null removes."""

    name: str = ""
    scopes: Names | None = None
    ip_allowlist: Names | None = None
    expires_at: AwareDatetime | None = None
    expires_in: Duration | None = None
    plan: str | None = None
    tags: Names | None = None
    metadata: dict[str, Any] | None = None

    def changes(self, now: float) -> KeyChanges:
        """Return the fields that the body names; `expires_in` counts from `now` (epoch seconds)."""
        changes = _given(self)
        if changes.keys() & {"expires_at", "expires_in"}:
            changes["expires_at"] = _expiry(self, now)
            changes.pop("expires_in", None)
        return cast("KeyChanges", changes)


class Act(_Shape):
    """The body of a verb such as `:suspend`."""

    reason: str = ""


class KeyLookup(_Shape):
    """The body of `POST /keys:lookup`."""

    secret: str = Field(min_length=1, max_length=SECRET_LENGTH_MAX, repr=False)


class TenantCreate(_Shape):
    """The body of `POST /tenants`."""

    tenant_id: str = ""
    name: str
    ip_allowlist: Names = ()
    ip_allowlist_enabled: bool = False
    plan: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)

    def tenant(self) -> Tenant:
        """Return the tenant that is asked for."""
        return Tenant(**self.model_dump())


class TenantUpdate(_Shape):
    """The body of `PATCH /tenants/{tenant_id}`: a JSON merge patch (RFC 7396), so null removes."""

    name: str = ""
    ip_allowlist: Names | None = None
    ip_allowlist_enabled: bool = False
    plan: str | None = None
    metadata: dict[str, Any] | None = None

    def changes(self) -> TenantChanges:
        """Return the fields that the body names."""
        return cast("TenantChanges", _given(self))


class KeyView(BaseModel):
    """A key as everyone with access may see it. `state` is the one that holds now."""

    key_id: str
    lineage_id: str
    tenant_id: str
    name: str
    format: str
    environment: str
    display: str
    state: KeyState
    state_reason: str
    scopes: Names
    ip_allowlist: Names
    plan: str
    tags: Names
    metadata: dict[str, Any]
    pepper_id: str
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    revision: int

    @classmethod
    def of(cls, record: KeyRecord, state: KeyState) -> Self:
        """Show `record`, which is in `state` now."""
        values = {name: getattr(record, name) for name in cls.model_fields}
        times = {name: instant(values[name]) for name in values if name.endswith("_at")}
        return cls(**(values | times | {"state": state, "metadata": dict(record.metadata)}))


class NewKey(BaseModel):
    """The answer to `POST /keys`, the only one with a secret: it is never shown again."""

    key: KeyView
    secret: str = Field(repr=False)
    warnings: Names


class EnforcementView(BaseModel):
    """How far a change has reached: from `effective_at` on nobody but `silent` serves by what was before."""

    effective_at: str | None
    acknowledged: int
    of: int
    silent: Names
    streams_closed: int

    @classmethod
    def of_enforced(cls, enforced: Enforced) -> Self:
        """Show `enforced`."""
        return cls(
            effective_at=instant(round(enforced.effective_at, 6)),
            acknowledged=enforced.acknowledged,
            of=enforced.of,
            silent=enforced.silent,
            streams_closed=enforced.streams_closed,
        )


class TenantView(BaseModel):
    """A tenant as everyone with access may see it."""

    tenant_id: str
    name: str
    state: str
    state_reason: str
    ip_allowlist: Names
    ip_allowlist_enabled: bool
    plan: str
    metadata: dict[str, Any]
    created_at: str | None
    revision: int

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        """Show `tenant`."""
        names = cls.model_fields.keys() - {"state", "created_at", "metadata"}
        return cls(
            **{name: getattr(tenant, name) for name in names},
            state="suspended" if tenant.is_suspended else "active",
            metadata=dict(tenant.metadata),
            created_at=instant(tenant.created_at),
        )


class StreamView(BaseModel):
    """A request that goes on. `stream_id` is its request id; the bytes are content, so far."""

    stream_id: str
    kind: StreamKind
    key_id: str | None
    lineage_id: str | None
    tenant_id: str | None
    route: str | None
    client_address: str
    since: str | None
    request_bytes: int
    response_bytes: int

    @classmethod
    def of(cls, stream: StreamReport) -> Self:
        """Show `stream`."""
        return cls(
            stream_id=stream.stream_id,
            kind=stream.kind,
            key_id=stream.key_id or None,
            lineage_id=stream.lineage_id or None,
            tenant_id=stream.tenant_id or None,
            route=stream.route or None,
            client_address=stream.client_address,
            since=instant(round(stream.opened_at, 3)),
            request_bytes=stream.request_bytes,
            response_bytes=stream.response_bytes,
        )


def _expiry(shape: KeyCreate | KeyUpdate, now: float) -> float | None:
    if shape.expires_at is not None and shape.expires_in is not None:
        raise Refused([("/expires_in", "give expires_at or expires_in, not both")])
    if shape.expires_in is not None:
        return now + shape.expires_in.total_seconds()
    return None if shape.expires_at is None else shape.expires_at.timestamp()


def _given(shape: BaseModel) -> dict[str, Any]:
    """Return the fields that the body names, with null as the empty value of the field's kind."""
    empty: dict[str, Any] = {"plan": "", "scopes": (), "ip_allowlist": (), "tags": ()}
    given = {name: getattr(shape, name) for name in shape.model_fields_set}
    return {name: empty.get(name) if value is None else value for name, value in given.items()}
