"""Rows and records say the same, and rows that are equal in part share that part."""

from __future__ import annotations

from typing import Any

from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.stores.rows import (
    KEY_COLUMNS,
    KEYS,
    TENANT_COLUMNS,
    TENANTS,
    SharedRows,
    values_of,
)
from tests.key_samples import a_key, a_tenant

KEY = a_key(
    scopes=("read", "write"),
    ip_allowlist=("10.0.0.0/8",),
    tags=("a",),
    metadata={"team": {"name": "x"}},
    plan="gold",
    expires_at=2e9,
)


def _row(record: KeyRecord | Tenant) -> list[Any]:
    values = values_of(record)
    columns = KEY_COLUMNS if isinstance(record, KeyRecord) else TENANT_COLUMNS
    return [values[column] for column in columns]


def _copied(row: list[Any]) -> list[Any]:
    """Return equal values that are other objects, as a database hands them out."""
    return [("x" + each)[1:] if isinstance(each, str) else each for each in row]


def test_a_shared_row_is_read_like_any_other() -> None:
    assert SharedRows().key_of(_row(KEY)) == KEYS.record_of(_row(KEY)) == KEY
    assert (
        SharedRows().tenant_of(_row(a_tenant()))
        == TENANTS.record_of(_row(a_tenant()))
        == a_tenant()
    )


def test_keys_share_what_is_equal() -> None:
    rows = SharedRows()
    first, second = rows.key_of(_copied(_row(KEY))), rows.key_of(_copied(_row(KEY)))
    for name in ("scopes", "ip_allowlist", "tags", "tenant_id", "plan", "format", "pepper_id"):
        assert getattr(first, name) is getattr(second, name)


def test_a_key_that_began_its_lineage_has_one_id() -> None:
    record = SharedRows().key_of(_copied(_row(a_key(lineage_id="key_a"))))
    assert record.lineage_id is record.key_id


def test_keys_of_a_tenant_share_it_until_it_changes() -> None:
    rows = SharedRows()
    first = rows.tenant_of(_copied(_row(a_tenant())))
    assert rows.tenant_of(_copied(_row(a_tenant()))) is first
    changed = a_tenant(is_suspended=True, revision=2)
    assert rows.tenant_of(_row(changed)) == changed


def test_what_is_shared_is_bounded() -> None:
    rows = SharedRows(parts_max=20)
    for n in range(200):
        assert rows.key_of(_row(a_key(f"key_{n}", tags=(f"tag{n}",)))).tags == (f"tag{n}",)
        assert rows.tenant_of(_row(a_tenant(f"ten_{n}"))).tenant_id == f"ten_{n}"
    assert len(rows) <= 40
