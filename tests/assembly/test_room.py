from __future__ import annotations

from pathlib import Path

from gateway.assembly import room
from gateway.control.descriptors import Demand
from tests.config.sample import loaded


def test_what_may_be_open_is_clients_and_every_targets_connections(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "listeners: {public: {connections_max: 700}}\n"
        "upstreams:\n"
        "  a: {targets: ['http://10.0.0.1', 'http://10.0.0.2'], connections_max: 30, idle_connections_max: 3}\n"
        "  b: {targets: ['http://10.0.0.3'], connections_max: 5, idle_connections_max: 4}\n",
    )
    assert room.demand(config) == Demand(clients=700, upstream_connections=65, idle_upstream=10)
    assert room.connections_max(config) == 700
