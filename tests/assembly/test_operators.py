from __future__ import annotations

from gateway.assembly.operators import CONNECTIONS_MAX
from gateway.control.descriptors import RESERVE

OTHERS = 32
"""Descriptors of listeners, store, logs and checks."""


def test_all_who_operate_the_gateway_fit_beside_its_clients() -> None:
    assert sum(CONNECTIONS_MAX.values()) + OTHERS <= RESERVE
