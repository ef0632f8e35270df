"""All groups of cases, in the order of the report."""

from __future__ import annotations

from tests.conformance.case import Group
from tests.conformance.cases import (
    chunks,
    codings,
    fieldlines,
    hops,
    lengths,
    limits,
    persistence,
    policy,
    reply_bodies,
    reply_heads,
    reply_moments,
    startlines,
    targets,
    upgrades,
)

MODULES = (
    startlines,
    targets,
    fieldlines,
    lengths,
    codings,
    chunks,
    hops,
    upgrades,
    persistence,
    limits,
    reply_heads,
    reply_bodies,
    reply_moments,
    policy,
)

GROUPS: tuple[Group, ...] = tuple(group for module in MODULES for group in module.GROUPS)
