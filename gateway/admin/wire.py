"""What the admin API reads and writes, as JSON.

Knows names, types and defaults on the wire. Times are RFC 3339 in UTC; durations are `30d` or ISO
8601. It must not judge values: the keyring does, for every door alike. No shape but `NewKey` has a
field for a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from gateway.admin.shapes import Shape, View
from gateway.domain.blueprint import KeyWish
from gateway.domain.enforcement import Enforced
from gateway.domain.key_format import variable_name
from gateway.domain.key_rules import NAME_LENGTH_MAX, REASON_LENGTH_MAX, Refused
from gateway.domain.keys import KeyKind, KeyRecord, KeyState
from gateway.domain.streams import StreamKind, StreamReport
from gateway.domain.tenants import Tenant
from gateway.keyring.deliveries import DELIVERY_SECONDS_MAX
from gateway.keyring.door import KeyChanges

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


_DURATION_SCHEMA: Final = WithJsonSchema(
    {
        "type": "string",
        "pattern": "^([0-9]{1,9}[smhdw]|P([0-9]{1,6}D)?(T([0-9]{1,6}H)?([0-9]{1,6}M)?([0-9]{1,6}S)?)?)$",
        "examples": ["30d", "PT12H"],
    }
)
Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    Field(gt=timedelta(0), strict=False),
    _DURATION_SCHEMA,
]
Period = Annotated[timedelta, BeforeValidator(_read_duration), Field(ge=timedelta(0), strict=False)]
"""A duration that may be none at all."""

Names = tuple[str, ...]
Name = Annotated[
    str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX})
]
TenantId = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"})
]
Reason = Annotated[str, WithJsonSchema({"type": "string", "maxLength": REASON_LENGTH_MAX})]
"""Texts with a rule, which the document tells; the keyring judges."""

Mode = Literal["enforce", "shadow"]


class KeyCreate(Shape):
    """The body of `POST /keys`. What is left out comes from the template, or is the only choice.

    With `deliver_in` the secret is not in the answer but behind a link that works for so long, once.
    """

    tenant_id: TenantId
    name: Name
    environment: str = ""
    scopes: Names | None = None
    template: str = ""
    format: str = ""
    plan: str = ""
    ip_allowlist: Names | None = None
    ip_allowlist_mode: Mode | None = None
    kind: Literal["regular", "multi_tenant"] | None = None
    tenants: Names = ()
    expires_at: AwareDatetime | None = None
    expires_in: Duration | None = None
    deliver_in: Duration | None = None
    tags: Names | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    def wish(self, now: float) -> KeyWish:
        """Return what is asked for; `expires_in` counts from `now` (epoch seconds)."""
        values = self.model_dump(exclude={"expires_at", "expires_in", "deliver_in"})
        texts = {name: values[name] or "" for name in ("kind", "ip_allowlist_mode")}
        return KeyWish(**(values | texts), expires_at=expiry(self.expires_at, self.expires_in, now))

    def delivery_seconds(self) -> float | None:
        """Return how long the link works that the secret is handed over with, None without one. Raises `Refused`."""
        if self.deliver_in is None:
            return None
        seconds = self.deliver_in.total_seconds()
        if seconds > DELIVERY_SECONDS_MAX:
            days = DELIVERY_SECONDS_MAX / 86_400
            raise Refused([("/deliver_in", f"must be at most {days:g} days")])
        return seconds


class KeyUpdate(Shape):
    """The body of `PATCH /keys/{key_id}`: a JSON merge patch (RFC 7396), so null removes."""

    name: str = ""
    scopes: Names | None = None
    ip_allowlist: Names | None = None
    ip_allowlist_mode: Mode = "enforce"
    tenants: Names | None = None
    expires_at: AwareDatetime | None = None
    expires_in: Duration | None = None
    plan: str | None = None
    tags: Names | None = None
    metadata: dict[str, Any] | None = None

    def changes(self, now: float) -> KeyChanges:
        """Return the fields that the body names; `expires_in` counts from `now` (epoch seconds)."""
        changes = given(self)
        if changes.keys() & {"expires_at", "expires_in"}:
            changes["expires_at"] = expiry(self.expires_at, self.expires_in, now)
            changes.pop("expires_in", None)
        return cast("KeyChanges", changes)


class Act(Shape):
    """The body of a verb such as `:suspend`."""

    reason: Reason = ""


class KeyLookup(Shape):
    """The body of `POST /keys:lookup`."""

    secret: str = Field(min_length=1, max_length=SECRET_LENGTH_MAX, repr=False)


class KeyView(View):
    """A key as everyone with access may see it. `state` is the one that holds now.

    `rotation_due_at` is when a policy wants it replaced, null without one.
    """

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
    ip_allowlist_mode: Mode
    plan: str
    template: str
    kind: KeyKind
    tenants: Names
    tags: Names
    metadata: dict[str, Any]
    pepper_id: str
    is_hidden: bool
    created_at: str | None
    expires_at: str | None
    resume_at: str | None
    retires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    rotation_due_at: str | None
    is_rotation_overdue: bool
    revision: int

    @classmethod
    def of(
        cls,
        record: KeyRecord,
        state: KeyState,
        *,
        rotation_due_at: float | None = None,
        is_rotation_overdue: bool = False,
    ) -> Self:
        """Show `record`, which is in `state` now; times are epoch seconds."""
        values = {name: getattr(record, name, None) for name in cls.model_fields}
        values |= {"rotation_due_at": rotation_due_at, "state": state}
        times = {name: instant(values[name]) for name in values if name.endswith("_at")}
        metadata = dict(record.metadata)
        overdue = {"is_rotation_overdue": is_rotation_overdue}
        return cls(**(values | times | overdue | {"metadata": metadata}))


class NewKey(View):
    """The answer to `POST /keys`, the only one with a secret: it is never shown again.

    With a `delivery_url` the secret is there, once; a dry run has neither. `export_name` is the variable that customers
    keep the key in.
    """

    key: KeyView
    secret: str | None = Field(repr=False)
    delivery_url: str | None = Field(repr=False)
    export_name: str
    warnings: Names


def export_name(tenant: Tenant, key: KeyRecord) -> str:
    """Return the variable that customers of `tenant` keep `key` in."""
    return tenant.export_name or variable_name(key.format)


class EnforcementView(View):
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


class StreamView(View):
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


def expiry(at: datetime | None, after: timedelta | None, now: float) -> float | None:
    """Return the end that a body names as `expires_at` or as `expires_in`, counted from `now` (epoch seconds)."""
    if at is not None and after is not None:
        raise Refused([("/expires_in", "give expires_at or expires_in, not both")])
    if after is not None:
        return now + after.total_seconds()
    return None if at is None else at.timestamp()


def given(shape: BaseModel) -> dict[str, Any]:
    """Return the fields that the body names, with null as the empty value of the field's kind."""
    named = {name: getattr(shape, name) for name in shape.model_fields_set}
    return {name: _EMPTY.get(name) if value is None else value for name, value in named.items()}


_EMPTY: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("plan", "default_template", "export_name"), ""),
    **dict.fromkeys(("scopes", "ip_allowlist", "tags", "tenants"), ()),
}
