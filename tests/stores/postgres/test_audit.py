from __future__ import annotations

import pytest

from gateway.stores.postgres.audit import PostgresAudit
from gateway.stores.postgres.store import PostgresStore
from tests.contracts.audit_trail import AuditTrailContract


@pytest.fixture
def trail(store: PostgresStore) -> PostgresAudit:
    return store.audit


class TestPostgresAudit(AuditTrailContract):
    """Runs the contract against the trail of a database."""
