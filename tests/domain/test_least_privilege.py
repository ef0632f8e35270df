from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.least_privilege import (
    PROPOSED_NETWORKS_MAX,
    RouteUse,
    by_hour,
    privileges,
    tighter_addresses,
    tighter_scopes,
)
from gateway.domain.networks import Allowlist
from tests.key_samples import HIREPANDA

GRANTED = HIREPANDA.granted


def used(route: str, *scopes: str, requests: int = 1, denied: int = 0) -> RouteUse:
    return RouteUse(route=route, requests=requests, denied=denied, scopes=scopes)


GONE = RouteUse(route="gone", requests=1, denied=0, scopes=None)


def proposed(names: Iterable[str], *routes: RouteUse) -> tuple[str, ...] | None:
    names = tuple(names)
    return tighter_scopes(names, privileges(names, routes, GRANTED), GRANTED)


def test_what_was_granted_and_what_was_used_are_told_apart() -> None:
    """D13."""
    found = privileges(("read", "jobs:write"), [used("list", "jobs:read")], GRANTED)
    assert found.granted == {"jobs:read", "candidates:read", "jobs:write"}
    assert found.used == {"jobs:read"}
    assert found.unused == {"candidates:read", "jobs:write"}


def test_a_route_where_every_request_was_refused_used_nothing() -> None:
    refused = used("delete", "jobs:delete", requests=5, denied=5)
    found = privileges(("admin",), [used("list", "jobs:read"), refused], GRANTED)
    assert found.used == {"jobs:read"}


def test_a_scope_that_the_key_lacks_was_not_used_whatever_the_route_asks_for_now() -> None:
    found = privileges(("jobs:read",), [used("list", "jobs:read", "jobs:write")], GRANTED)
    assert found.used == {"jobs:read"}
    assert proposed(("jobs:read",), used("list", "jobs:read", "jobs:write")) is None


def test_the_tighter_key_has_the_used_atoms() -> None:
    assert proposed(("admin",), used("list", "jobs:read"), used("post", "jobs:write")) == (
        "jobs:read",
        "jobs:write",
    )


def test_a_name_of_which_everything_was_used_stays_as_it_is() -> None:
    routes = (used("a", "jobs:read"), used("b", "candidates:read"), used("c", "jobs:write"))
    assert proposed(("read", "*:write", "jobs:delete"), *routes) == ("read", "jobs:write")


@pytest.mark.parametrize(
    ("names", "routes"),
    [
        (("jobs:read",), (used("list", "jobs:read"),)),  # nothing is unused
        (("admin",), ()),  # nothing was done
        (("admin",), (used("list", "jobs:read", denied=1),)),
        (("admin",), (used("list", "jobs:read"), GONE)),  # nobody knows what that asked for
        ((), (used("open"),)),
    ],
)
def test_nothing_is_proposed_that_is_not_known_to_do(
    names: tuple[str, ...], routes: tuple[RouteUse, ...]
) -> None:
    assert proposed(names, *routes) is None


def test_a_route_that_is_gone_and_let_nobody_through_leaves_no_doubt() -> None:
    refused = RouteUse(route="gone", requests=1, denied=1, scopes=None)
    assert proposed(("admin",), used("list", "jobs:read"), refused) == ("jobs:read",)


def test_a_key_that_used_no_scope_at_all_needs_none() -> None:
    assert proposed(("read",), used("whoami")) == ()


ATOMS = ("jobs:read", "candidates:read", "jobs:write", "candidates:write", "jobs:delete")
NAMES = st.lists(st.sampled_from([*ATOMS, "read", "write", "admin", "*", "*:read"]), max_size=4)


@given(NAMES, st.lists(st.lists(st.sampled_from(ATOMS), max_size=3), max_size=4))
def test_a_proposal_does_all_that_was_done_and_grants_less_than_before(
    names: list[str], done: list[list[str]]
) -> None:
    routes = [used(f"r{n}", *scopes) for n, scopes in enumerate(done)]
    tighter = proposed(names, *routes)
    if tighter is not None:
        assert GRANTED(tighter) == GRANTED(names) & {each for scopes in done for each in scopes}
        assert GRANTED(tighter) < GRANTED(names)


# ---- addresses


def test_the_networks_that_were_used_are_the_list_of_a_key_without_one() -> None:
    assert tighter_addresses((), ("203.0.113.0/24", "2001:db8::/56", "198.51.100.7/32")) == (
        "198.51.100.7/32",
        "2001:db8::/56",
        "203.0.113.0/24",
    )


def test_of_a_list_those_entries_stay_that_were_used() -> None:
    entries = ("203.0.113.7 # office", "10.0.0.0/8", "198.51.100.0/25", "192.0.2.1")
    networks = ("203.0.113.0/24", "10.9.8.0/24")  # wider than an entry, and narrower
    assert tighter_addresses(entries, networks) == ("203.0.113.7 # office", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("entries", "networks"),
    [
        ((), ()),  # nobody came
        (("10.0.0.0/8",), ("10.1.0.0/24",)),  # all of it was used
        (("10.0.0.0/8", "192.0.2.1"), ("198.51.100.0/24",)),  # only refused ones came
        ((), ("__other__",)),
        ((), ("",)),
        (("10.0.0.0/8", "192.0.2.1"), ("10.1.0.0/24", "__other__")),
        ((), tuple(f"10.{n}.0.0/24" for n in range(PROPOSED_NETWORKS_MAX + 1))),
    ],
)
def test_no_list_is_proposed_that_could_keep_somebody_out(
    entries: tuple[str, ...], networks: tuple[str, ...]
) -> None:
    assert tighter_addresses(entries, networks) is None


@given(
    st.lists(st.integers(0, 255).map(lambda n: f"10.{n}.0.0/16"), max_size=5, unique=True),
    st.lists(st.integers(0, 255).map(lambda n: f"10.{n}.7.0/24"), max_size=5, unique=True),
)
def test_a_proposed_list_admits_everybody_who_was_admitted_before(
    entries: list[str], networks: list[str]
) -> None:
    tighter = tighter_addresses(entries, networks)
    if tighter is not None:
        before, after = Allowlist(entries), Allowlist(tighter)
        for network in networks:
            address = network.replace("0/24", "9")
            assert after.allows(address) is (before.allows(address) if entries else True)


# ---- hours


def test_requests_are_told_by_the_hour_of_the_day() -> None:
    hours = by_hour({0: 1, 3_600: 2, 86_400: 4, 86_400 * 300 + 23 * 3_600: 8})
    assert hours == (5, 2, *[0] * 21, 8)
    assert by_hour({}) == (0,) * 24
