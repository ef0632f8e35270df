from __future__ import annotations

import pytest

from gateway.stores.memory import MemoryStore
from tests.contracts.key_store import KeyStoreContract


class TestMemoryStore(KeyStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
