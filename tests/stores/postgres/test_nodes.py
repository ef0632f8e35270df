from __future__ import annotations

import pytest

from gateway.stores.postgres.database import Database
from gateway.stores.postgres.nodes import PostgresNodes
from tests.contracts.nodes import NodesContract


@pytest.fixture
def nodes(database: Database) -> PostgresNodes:
    return PostgresNodes(database)


class TestPostgresNodes(NodesContract):
    """Runs the contract against the register of a database."""
