"""How many connections fit into the limit of open files."""

from __future__ import annotations

import logging
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.descriptors import Demand, make_room

RESERVE = 128


def demand(clients: int, upstream: int = 100, idle: int = 10) -> Demand:
    return Demand(clients=clients, upstream_connections=upstream, idle_upstream=idle)


@pytest.mark.parametrize(
    ("limit", "clients"),
    [
        (10_000, 1000),
        (1000 + RESERVE + 100, 1000),  # each client, and every upstream connection
        (1000 + RESERVE + 99, 999),
        (200 + RESERVE, 100),
        (50 + RESERVE, 20),  # each client may use one upstream connection, beside the idle ones
        (RESERVE + 11, 0),
        (0, 0),
    ],
)
def test_as_many_clients_are_taken_as_fit(limit: int, clients: int) -> None:
    assert demand(1000).clients_within(limit) == clients


@given(st.integers(1, 10**5), st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**6))
def test_what_is_taken_fits_and_one_more_would_not(
    clients: int, upstream: int, idle: int, limit: int
) -> None:
    taken = demand(clients, upstream, idle).clients_within(limit)
    assert taken <= clients
    if taken:
        assert demand(taken, upstream, idle).descriptors <= limit
    if taken < clients:
        assert demand(taken + 1, upstream, idle).descriptors > limit


class Limits:
    """The limit of a process, without touching that of this one."""

    def __init__(self, soft: int, hard: int, most: int = 10**9) -> None:
        self.now = (soft, hard)
        self.most = most

    def get(self) -> tuple[int, int]:
        return self.now

    def set(self, soft: int) -> None:
        if soft > self.most:
            raise ValueError("not allowed to raise maximum limit")
        self.now = (soft, self.now[1])


@pytest.mark.parametrize(
    ("limits", "soft", "clients", "warns"),
    [
        (Limits(20_000, 20_000), 20_000, 1000, False),
        (Limits(256, 20_000), 1000 + RESERVE + 100, 1000, False),  # raised as far as needed
        (Limits(256, resource.RLIM_INFINITY), 1000 + RESERVE + 100, 1000, False),
        (Limits(resource.RLIM_INFINITY, resource.RLIM_INFINITY), -1, 1000, False),
        (Limits(256, 400), 400, 172, True),
        (Limits(256, resource.RLIM_INFINITY, most=400), 256, 59, True),  # macOS says no
    ],
    ids=["enough", "raised", "no-hard-limit", "no-limit", "too-few", "not-allowed"],
)
def test_the_limit_is_raised_and_what_does_not_fit_is_given_up_aloud(
    limits: Limits, soft: int, clients: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert make_room(demand(1000), read=limits.get, write=limits.set) == clients
    assert limits.now[0] == soft
    assert bool(caplog.records) is warns
    if warns:
        assert f"connections_max is {clients}" in caplog.text


def test_the_limit_of_this_process_is_read() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert make_room(demand(1, upstream=0, idle=0)) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft
