"""Keys and what they may do: peppers, formats, environments, scopes, plans, templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from gateway.config.sections.base import OneOrMany, Section, Shorthand
from gateway.config.sections.bootstrap import Metadata
from gateway.config.sections.values import (
    Atom,
    Count,
    Duration,
    EnvironmentName,
    Flag,
    Granted,
    Integer,
    Label,
    Mode,
    Name,
    OptionalName,
    Prefix,
    Secret,
    Tag,
)
from gateway.config.sections.wire import FieldName, FieldValue, Network

Period = Literal["second", "minute", "hour", "day"]
PERIOD_SECONDS: Final[dict[Period, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Peppers(Section):
    """Server-side secrets under which keys are hashed; any further key is a pepper's id."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Secret]

    current: Name
    """Id of the pepper for new keys. A key under another listed pepper stays valid and is re-keyed
    when it is next used; remove a pepper only when no key needs it."""

    @property
    def keys(self) -> Mapping[str, Secret]:
        """The peppers by id, each at least 32 bytes long."""
        return self.__pydantic_extra__


class KeyFormat(Section):
    """How keys of one kind look: `<prefix>_<environment>_<random><checksum>`."""

    prefix: Prefix
    """First part, unique per product: secret scanners and people recognise it. Empty accepts
    foreign tokens of any shape that were imported by their hash; it needs `checksum: none`."""
    environments: tuple[EnvironmentName, ...] = Field(min_length=1)
    """Environments that a key of this format may belong to."""
    random: Annotated[Integer, Field(ge=22, le=128), Label("22 to 128")] = 43
    """Random Base62 characters: 43 are 256 bit; fewer than 22 (131 bit) could be searched."""
    checksum: Literal["crc32", "none"] = "crc32"
    """Six more characters that catch typing errors before the store is asked."""


class Environment(Section):
    """What sets the keys of one environment apart."""

    aliases: tuple[EnvironmentName, ...] = ()
    """Other names that the CLI and the admin API accept, such as `production` for `live`."""
    upstreams: Mapping[Name, Name] = Field(default_factory=dict)
    """Upstreams to use instead, such as `{jobs: jobs-sandbox}`: data of the environments stay
    apart."""
    billable: Flag = True
    """Whether usage counts towards the bill; recorded with every request."""
    forward: Mapping[FieldName, FieldValue] = Field(default_factory=dict, repr=False)
    """Headers that tell the upstream, so that it can mark its records."""
    plan: OptionalName = ""
    """Plan for all keys of this environment, whatever the key or tenant says. Empty: their own."""
    deny: tuple[Annotated[str, Label("METHOD path")], ...] = ()
    """Routes that keys of this environment may not call: a method (or `*`), a space and the pattern
    of the route as the route spells it. The method must be the only one of that route."""


class Bundle(Section):
    """A named set of scopes; a bare list stands for `add`."""

    includes: tuple[Name, ...] = ()
    """Bundles that are part of this one, so tiers build on each other."""
    add: tuple[Granted, ...] = ()
    """Atoms, and wildcards over the atoms: `*:read`, `read:*`, `*`."""


class Scopes(Section):
    """The closed list of what can be permitted."""

    atoms: tuple[Atom, ...] = ()
    """Every scope that a route can require. Opaque text: `jobs:read` and `read:jobs` are different.
    """
    bundles: Mapping[Name, Annotated[Bundle, Shorthand("add")]] = Field(default_factory=dict)
    """Names for sets of scopes, usable wherever a key is given scopes."""


class RateLimit(Section):
    """A token bucket: bursts of `burst`, refilled at one of the `per_...` rates."""

    per_second: Count | None = None
    """Requests per second; exactly one `per_...` is given."""
    per_minute: Count | None = None
    """Requests per minute."""
    per_hour: Count | None = None
    """Requests per hour."""
    per_day: Count | None = None
    """Requests per day; refilled evenly, not at midnight (that is a quota)."""
    burst: Count | None = None
    """Most requests at once. Null: as many as the rate."""

    @property
    def limits(self) -> dict[Period, int]:
        """The given rates by period: exactly one once the config was checked."""
        return {
            period: limit
            for period in PERIOD_SECONDS
            if (limit := getattr(self, f"per_{period}")) is not None
        }


class QuotaLimits(Section):
    """Requests in a calendar period (UTC)."""

    per_hour: Count | None = None
    """Requests from one full hour to the next."""
    per_day: Count | None = None
    """Requests from midnight to midnight, UTC."""
    per_month: Count | None = None
    """Requests in a calendar month, UTC: what a price list usually says."""


class Plan(Section):
    """A named set of limits; a request must satisfy all of them. `{}` limits nothing."""

    may_be_empty: ClassVar[bool] = False  # limits that were left out would be no limits

    rate: Annotated[tuple[RateLimit, ...], OneOrMany()] = ()
    """Token buckets, one or a list (60 a minute and 2000 an hour)."""
    quota: QuotaLimits = Field(default_factory=QuotaLimits)
    """Calendar quotas."""
    concurrency: Count | None = None
    """Requests at the same time. Null: no limit."""
    owners: tuple[Literal["lineage", "tenant", "lineage_tenant", "route"], ...] = Field(
        ("lineage",), min_length=1
    )
    """Who has buckets of its own: `lineage` (a key with its rotated successors), `tenant`,
    `lineage_tenant` (a key for each tenant that it acts for), `route`."""
    mode: Mode = "enforce"
    """`shadow` counts on its own buckets what it would refuse, and refuses nothing; clients are not told of it."""


class Template(Section):
    """Defaults for new keys; what is given at creation wins."""

    scopes: tuple[Granted, ...] = ()
    """Scopes of the new key. Nothing by default: least privilege."""
    environment: Annotated[str, Label("name")] = ""
    """Environment of the new key. Empty: must be given at creation."""
    plan: OptionalName = ""
    """Plan of the new key. Empty: the tenant's."""
    ip_allowlist: tuple[Network, ...] = ()
    """Addresses that may use the new key. Empty allows every address."""
    ip_allowlist_mode: Literal["enforce", "shadow"] = "enforce"
    """`shadow` only counts what the list would refuse."""
    kind: Literal["regular", "multi_tenant"] = "regular"
    """`multi_tenant` keys act for several tenants, and only administrators may create them."""
    metadata: Metadata = Field(default_factory=dict)
    """Metadata of the new key; what is given at creation is added."""
    expires_in: Duration | None = None
    """Lifetime from creation. Null: it does not expire."""
    key_format: OptionalName = ""
    """Format of the new key. Empty: must be given at creation when there are several."""
    tags: tuple[Tag, ...] = Field((), max_length=20)
    """Tags of the new key, for searching."""
