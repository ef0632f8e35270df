"""The register in memory, which the tests of `cluster` stand on, keeps the contract of the real one."""

from __future__ import annotations

import pytest

from gateway.stores.memory import MemoryStore
from tests.contracts.nodes import NodesContract
from tests.nodes import Book, MemoryNodes


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def nodes(store: MemoryStore) -> MemoryNodes:
    return MemoryNodes(Book(store))


class TestMemoryNodes(NodesContract):
    """Runs the contract against memory."""
