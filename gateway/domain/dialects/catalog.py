"""The dialects by name, as `dialect.errors` of the config spells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.dialects.definition import Definition
from gateway.domain.dialects.hirepanda import HIREPANDA
from gateway.domain.dialects.instaview import INSTAVIEW
from gateway.domain.dialects.instaview_nest import INSTAVIEW_NEST
from gateway.domain.dialects.jobhive import JOBHIVE
from gateway.domain.dialects.problem import PROBLEM

DIALECTS: Final[Mapping[str, Definition]] = {
    definition.name: definition
    for definition in (PROBLEM, HIREPANDA, JOBHIVE, INSTAVIEW, INSTAVIEW_NEST)
}
"""Every dialect; the first is the default."""
