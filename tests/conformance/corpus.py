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
    policy,
)

GROUPS: tuple[Group, ...] = tuple(group for module in MODULES for group in module.GROUPS)
