"""All scenes, in the order of the table."""

from __future__ import annotations

from typing import Final

from tests.chaos import (
    cold_faults,
    database_faults,
    file_faults,
    limits_faults,
    network_faults,
    process_faults,
)

SCENES: Final = (
    *limits_faults.SCENES,
    *database_faults.SCENES,
    *file_faults.SCENES,
    *cold_faults.SCENES,
    *process_faults.SCENES,
    *network_faults.SCENES,
)
