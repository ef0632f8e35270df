"""What the admin API reads and writes about rotations, incidents, deliveries and templates, as JSON.

Knows names, types and defaults on the wire, as `wire` does for keys and tenants. It must not judge values: the keyring
does. Only what is answered to a rotation, to a compromise and to whoever redeems a link has a field for a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from gateway.admin.shapes import Shape, View
from gateway.admin.wire import Act, Duration, KeyView, Names, Period, instant
from gateway.domain.deliveries import Delivery
from gateway.domain.incidents import Incident
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyRecord
from gateway.domain.rotations import Rotation, RotationState
from gateway.domain.templates import Template

IMPORT_KEYS_MAX: Final = 100
"""Keys of one import: they fit into the longest body that is read."""

_PublicId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class KeyRotate(Act):
    """The body of `POST /keys/{key_id}:rotate`.

    The old key goes on for `grace` (`0s`: not at all), or until it was idle for `idle`. With `deliver_in` the secret is
    not in the answer but behind a link that works for so long, once. `scopes` and `ip_allowlist` give the new key less
    than the old one has; what would give it more is refused.
    """

    grace: Period | None = None
    idle: Duration | None = None
    deliver_in: Duration | None = None
    scopes: Names | None = None
    ip_allowlist: Names | None = None


class KeyCompromise(Act):
    """The body of `POST /keys/{key_id}:compromise`. `since` is when others may have come to know the key."""

    since: AwareDatetime | None = None
    with_replacement: bool = True


class KeyExtend(Act):
    """The body of `POST /keys/{key_id}:extend`: the new end, by a time or counted from now."""

    expires_at: AwareDatetime | None = None
    expires_in: Duration | None = None

    def until(self, now: float) -> float:
        """Return the new end. Raises `Refused` unless exactly one is named."""
        until = _moment(self.expires_at, self.expires_in, now, "expires")
        if until is None:
            raise Refused([("/expires_at", "give expires_at or expires_in")])
        return until


class KeySuspend(Act):
    """The body of `POST /keys/{key_id}:suspend`; with neither time the key stays stopped until it is resumed."""

    resume_at: AwareDatetime | None = None
    resume_in: Duration | None = None

    def until(self, now: float) -> float | None:
        """Return when the key works again by itself, or None."""
        return _moment(self.resume_at, self.resume_in, now, "resume")


class KeyImport(Shape):
    """One key that others minted: its hash instead of its secret."""

    key_id: _PublicId
    tenant_id: str
    name: str
    format: str
    environment: str
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] = Field(repr=False)
    pepper_id: str
    lineage_id: _PublicId | None = None
    display: Annotated[str, StringConstraints(max_length=40)] = ""
    scopes: Names = ()
    ip_allowlist: Names = ()
    plan: str = ""
    tags: Names = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None

    def record(self) -> KeyRecord:
        """Return the key; without `created_at` it counts from its import."""
        values = self.model_dump(exclude={"digest", "lineage_id", "created_at", "expires_at"})
        return KeyRecord(
            **values,
            digest=bytes.fromhex(self.digest),
            lineage_id=self.lineage_id or self.key_id,
            kind=KeyKind.REGULAR,
            created_at=0.0 if self.created_at is None else self.created_at.timestamp(),
            expires_at=None if self.expires_at is None else self.expires_at.timestamp(),
        )


class KeysImport(Act):
    """The body of `POST /keys:import`."""

    keys: tuple[KeyImport, ...] = Field(min_length=1, max_length=IMPORT_KEYS_MAX)


class RotationView(View):
    """A rotation; both keys work while it is `pending` (the new one was never used) or `overlapping`."""

    rotation_id: str
    lineage_id: str
    tenant_id: str
    old_key_id: str
    new_key_id: str
    state: RotationState
    reason: str
    started_at: str | None
    deadline: str | None
    idle_seconds: float | None
    ended_at: str | None
    ended_by: str
    revision: int

    @classmethod
    def of(cls, rotation: Rotation) -> Self:
        """Show `rotation`."""
        return cls(**_shown(cls, rotation))


class RotationReport(RotationView):
    """A rotation and what tells whether it can be completed: has the new key worked, is the old one still used?"""

    has_new_key_worked: bool
    old_key_last_used_at: str | None
    new_key_last_used_at: str | None
    seconds_left: float

    @classmethod
    def of_keys(cls, rotation: Rotation, old: KeyRecord, new: KeyRecord, now: float) -> Self:
        """Show `rotation` beside its keys."""
        return cls(
            **_shown(RotationView, rotation),
            has_new_key_worked=new.last_used_at is not None,
            old_key_last_used_at=instant(old.last_used_at),
            new_key_last_used_at=instant(new.last_used_at),
            seconds_left=max(0.0, round(rotation.deadline - now, 3)) if rotation.is_open else 0.0,
        )


class RotationStarted(View):
    """The answer to `:rotate`: the secret of the new key, this once, or the link with which it is taken."""

    rotation: RotationView
    old_key: KeyView
    new_key: KeyView
    secret: str | None = Field(repr=False)
    delivery_url: str | None = Field(repr=False)
    export_name: str
    warnings: Names


class ClientView(View):
    """Somebody who used the old key since the rotation began; `has_moved` when the new key was used later."""

    client_address: str
    user_agent: str
    requests: int
    first_at: str | None
    last_at: str | None
    new_key_last_at: str | None
    has_moved: bool

    @classmethod
    def of_client(cls, client: Mapping[str, Any], new_key_last_at: float | None) -> Self:
        """Show one row of the request log's clients beside the last use of the new key from there."""
        return cls(
            client_address=client["client_address"] or "",
            user_agent=client["user_agent"] or "",
            requests=client["requests"],
            first_at=instant(client["first_at"]),
            last_at=instant(client["last_at"]),
            new_key_last_at=instant(new_key_last_at),
            has_moved=new_key_last_at is not None and new_key_last_at > client["last_at"],
        )


class IncidentView(View):
    """A compromised key and what was done about it."""

    incident_id: str
    tenant_id: str
    key_id: str
    lineage_id: str
    replacement_key_id: str
    since: str | None
    opened_at: str | None
    opened_by: str
    reason: str
    revision: int

    @classmethod
    def of(cls, incident: Incident) -> Self:
        """Show `incident`."""
        return cls(**_shown(cls, incident))


class RequestsView(View):
    """One page of requests, each as its line of the access log."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


class IncidentOpened(View):
    """The answer to `:compromise`. `requests` are the newest that were made with the key; null where nobody logs."""

    incident: IncidentView
    revoked_key: KeyView
    new_key: KeyView | None
    secret: str | None = Field(repr=False)
    export_name: str
    warnings: Names
    requests: RequestsView | None


class DeliveryView(View):
    """A link with which the secret of a key is taken, once; the link itself is nowhere."""

    delivery_id: str
    key_id: str
    tenant_id: str
    state: str
    created_at: str | None
    expires_at: str | None
    redeemed_at: str | None
    redeemed_from: str
    revision: int

    @classmethod
    def of(cls, delivery: Delivery, now: float) -> Self:
        """Show `delivery` as it is `now` (epoch seconds)."""
        state = "open" if delivery.is_open_at(now) else "expired"
        state = state if delivery.redeemed_at is None else "redeemed"
        return cls(**_shown(cls, delivery, ("state",)), state=state)


class Delivered(View):
    """What whoever redeems a link is given."""

    key_id: str
    name: str
    secret: str = Field(repr=False)
    export_name: str


class TemplateView(View):
    """A kind of key, as it is configured; `granted_scopes` are the atoms that its scopes stand for."""

    name: str
    is_default: bool
    scopes: Names
    granted_scopes: Names
    format: str
    environment: str
    plan: str
    kind: str
    ip_allowlist: Names
    ip_allowlist_mode: str
    tags: Names
    metadata: dict[str, Any]
    expires_after_seconds: float | None

    @classmethod
    def of_template(cls, template: Template, granted: frozenset[str], *, is_default: bool) -> Self:
        """Show `template`."""
        own = ("is_default", "granted_scopes")
        values = _shown(cls, template, own) | {"metadata": dict(template.metadata)}
        return cls(**values, is_default=is_default, granted_scopes=tuple(sorted(granted)))


class Imported(View):
    """The answer to `keys:import`: the keys as they are stored now."""

    data: list[KeyView]


def _shown(shape: type[BaseModel], record: object, own: Names = ()) -> dict[str, Any]:
    """Return what `record` holds of the fields of `shape`, with times as text; `own` come from elsewhere."""
    values = {name: getattr(record, name) for name in shape.model_fields if name not in own}
    times = ("since", "deadline")
    return {
        name: instant(value) if name.endswith("_at") or name in times else value
        for name, value in values.items()
    }


def _moment(at: Any, after: Any, now: float, name: str) -> float | None:
    if at is not None and after is not None:
        raise Refused([(f"/{name}_in", f"give {name}_at or {name}_in, not both")])
    if after is not None:
        return now + float(after.total_seconds())
    return None if at is None else float(at.timestamp())
