"""What keys can be given, as the configuration declares it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.admin.caller import TOKEN, serving
from tests.config.sample import loaded
from tests.keyring.house import House

CONFIG = """
scopes:
  atoms: [jobs:read, jobs:write]
  bundles:
    reader: ["*:read"]
    writer: {includes: [reader], add: [jobs:write]}
environments:
  live: {aliases: [production]}
  test: {billable: false, plan: none}
plans:
  none: {}
  pro:
    rate: [{per_minute: 60, burst: 90}, {per_hour: 500}]
    quota: {per_month: 1000, per_day: 100}
    concurrency: 5
    owners: [lineage, tenant]
    mode: shadow
"""


async def test_whoever_makes_keys_is_told_what_they_can_be_given(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(House(), None, TOKEN, settings=lambda: config) as call:
        answer: Any = await call("GET", "/catalog", headers=headers)
        await call("GET", "/catalog?x=1", expect=400, headers=headers)
    assert answer["scopes"] == ["jobs:read", "jobs:write"]
    assert answer["bundles"] == [
        {"name": "reader", "includes": [], "add": ["*:read"]},
        {"name": "writer", "includes": ["reader"], "add": ["jobs:write"]},
    ]
    assert answer["environments"] == [
        {"name": "live", "aliases": ["production"], "is_billable": True, "plan": ""},
        {"name": "test", "aliases": [], "is_billable": False, "plan": "none"},
    ]
    assert [each["name"] for each in answer["plans"]] == ["none", "pro"]
    assert answer["plans"][1] == {
        "name": "pro",
        "rates": [
            {"limit": 60, "window_seconds": 60, "burst": 90},
            {"limit": 500, "window_seconds": 3600, "burst": 500},
        ],
        "quotas": [{"limit": 100, "period": "day"}, {"limit": 1000, "period": "month"}],
        "concurrency": 5,
        "owners": ["lineage", "tenant"],
        "mode": "shadow",
    }
    assert answer["formats"] == [
        {"name": "tollhouse", "prefix": "sk", "environments": ["live", "test"]}
    ]
    assert config.peppers.keys["p1"].get_secret_value() not in repr(answer)
