"""How a request names the tenant that it is for, and what follows from naming one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.sections.base import Section
from gateway.config.sections.values import Label, Text
from gateway.config.sections.wire import OptionalFieldName

ParameterName = Annotated[
    str,
    # What a URL spells in one way only (RFC 3986 section 2.3), so that it can be compared.
    Text(r"(?:[A-Za-z0-9_.~-]{1,64})?", "up to 64 letters, digits, `_`, `.`, `~` and `-`"),
    Label("name of a parameter or empty"),
]


class TenantSelector(Section):
    """Where a request names its tenant; where several are given, they must agree. Empty: not read there."""

    query: ParameterName = ""
    """Parameter of the query: `companyId`."""
    header: OptionalFieldName = ""
    """Header field: `X-Company-Id`."""
    path: ParameterName = ""
    """Parameter of the route's path: `company_id` for `/v1/companies/{company_id}`."""


class Tenancy(Section):
    """Keys that act for several tenants. The selector is forwarded as it came, whatever it is."""

    selector: TenantSelector = Field(default_factory=TenantSelector)
    """Where a request names its tenant. None: every key acts for its own tenant only."""
    regular_keys: Literal["check", "ignore"] = "check"
    """`check` refuses a regular key that names another tenant than its own (`cross_tenant`); `ignore`
    does not read the selector of regular keys: the upstream must not trust it either."""
    hide: Literal[False, 404] = False
    """`404` answers `cross_tenant` as a path that does not exist. Log and metrics name it all the
    same."""
