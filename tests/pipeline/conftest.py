"""These tests watch each step through heirs of the cache, the throttle and the limiter (`world`).

Nothing can inherit from a compiled class, so they hold for the plain build only; `tests/e2e`, `tests/listeners` and
`tests/conformance` show the same story compiled.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.pure)
