from __future__ import annotations

from tests.contracts.key_store import KeyStoreContract


class TestPostgresStore(KeyStoreContract):
    """Runs the contract against a database; the fixture is `store` of the conftest."""
