"""What may be asked for when keys or audit records are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

Comparable = str | int | float | bytes | None
"""What a stored field can be compared with."""


class Presence(Enum):
    """Whether a stored field has a value at all."""

    MISSING = "IS NULL"
    GIVEN = "IS NOT NULL"


Wanted = Comparable | tuple[str, ...] | Presence
"""What a stored field must be; of several values, one."""

NOTHING: Final[Mapping[str, Wanted]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """By which field a list is ordered, and among equals by id; what has no value there comes last.

    Where a list goes on behind a record, `value` is that record's; without a record, the list begins at `value`.
    """

    field: str
    is_descending: bool = False
    value: str | float | None = None


class Place(NamedTuple):
    """A place in a list: that of a record with this value in the field by which it is sorted, and with this id.

    Without a sort, `value` means nothing. Nobody need stand there.
    """

    value: str | float | None
    record_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyQuery:
    """Which keys are listed; an empty text asks for nothing.

    `state` is the stored one; with `expired_at`, those that have expired by then, stored or not. `text` is part of a
    name, or an id or display text. `tenant_ids` are the tenants whose keys may be seen at all; None: all. Hidden keys
    are left out unless `with_hidden`. Without `sort`, by id. The list ends with what stands at `until`.
    """

    tenant_id: str = ""
    state: str = ""
    expired_at: float | None = None
    environment: str = ""
    template: str = ""
    kind: str = ""
    tag: str = ""
    lineage_id: str = ""
    pepper_id: str = ""
    not_pepper_id: str = ""
    text: str = ""
    tenant_ids: tuple[str, ...] | None = None
    with_hidden: bool = False
    sort: Sort | None = None
    until: Place | None = None

    @property
    def one_tenant(self) -> str:
        """The tenant whose keys alone are asked for and may be seen; empty when there is none, or more than one."""
        seen = self.tenant_ids
        if seen is None or self.tenant_id in seen:
            return self.tenant_id
        return seen[0] if len(seen) == 1 and not self.tenant_id else ""

    @property
    def is_sifted(self) -> bool:
        """Tell whether keys are looked at one after the other, because no index holds those that are asked for.

        What is asked for may be rare, and a list of it has to be looked for in parts.
        """
        if self.lineage_id or (self.tenant_ids is not None and not self.one_tenant):
            return False
        has_index = self.sort is None and not self.one_tenant
        if self.expired_at is not None or (self.state and not has_index):
            return True
        sifting = (self.environment, self.template, self.kind, self.tag, self.text)
        return any((*sifting, self.pepper_id, self.not_pepper_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which audit records are listed; an empty text asks for nothing, times are epoch seconds.

    `type` may end with `*` (`key.*`). `tenant_ids` are the tenants whose records may be seen at all; None: all.
    """

    key_id: str = ""
    tenant_id: str = ""
    type: str = ""
    actor: str = ""
    since: float | None = None
    until: float | None = None
    tenant_ids: tuple[str, ...] | None = None
    is_newest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQuery:
    """Which requests of the request log are looked for; an empty text asks for nothing, times are epoch seconds.

    `status` is a number or a class (`4xx`). `reason` is why the gateway refused; `shadow` a reason why it would have,
    or `*` for any. `tenant_ids` are the tenants whose requests may be seen at all; None: all. What was refused before
    it was known for whom it is belongs to no tenant: whoever asks for the key that it came with sees it.
    """

    key_id: str = ""
    tenant_id: str = ""
    route: str = ""
    client_address: str = ""
    request_id: str = ""
    status: str = ""
    reason: str = ""
    shadow: str = ""
    since: float | None = None
    until: float | None = None
    tenant_ids: tuple[str, ...] | None = None


ANY_SHADOW: Final = "*"
"""The `shadow` of a `RequestQuery` that asks for any reason."""

ANY_KEY: Final = KeyQuery()
ANY_AUDIT: Final = AuditQuery()
