from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import (
    UNUSABLE,
    Barred,
    Caller,
    Crossing,
    Difference,
    Need,
    Shift,
    need_of,
    refusal,
)
from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead
from gateway.domain.routes import Match, Route, RouteTable
from gateway.pipeline.authorize import authorize
from gateway.pipeline.values import Principal
from tests.domain.test_routes import route
from tests.key_samples import a_key, a_tenant

NONE: Barred = frozenset()


def caller(*scopes: str, environment: str = "live") -> Caller:
    return Caller(environment=environment, scopes=frozenset(scopes))


def needing(name: str, pattern: str, *scopes: str, method: str = "GET") -> Route:
    return replace(route(name, pattern, method), scopes=scopes)


def crossing(before: list[Route], after: list[Route]) -> Crossing:
    return Crossing(RouteTable(before), NONE, RouteTable(after), NONE)


def compare(before: list[Route], after: list[Route], who: Caller | None) -> Difference:
    return crossing(before, after).compare(who, who)


READ = needing("read", "/jobs/{id}", "jobs:read")
WRITE = needing("write", "/jobs", "jobs:write", method="POST")


def test_equal_tables_take_nothing_and_give_nothing() -> None:
    assert compare([READ, WRITE], [READ, WRITE], caller("jobs:read")) == Difference()


def test_a_route_that_left_is_lost_by_those_who_could_use_it_only() -> None:
    lost = Difference((Shift("write", "", "no_route"),))
    assert compare([READ, WRITE], [READ], caller("jobs:write")) == lost
    assert compare([READ, WRITE], [READ], caller("jobs:read")) == Difference()


def test_a_new_route_is_gained_by_those_who_may_use_it() -> None:
    gained = Difference((), (Shift("", "write", "no_route"),))
    assert compare([READ], [READ, WRITE], caller("jobs:write")) == gained


def test_a_scope_that_a_route_asks_for_now_is_named_as_missing() -> None:
    stricter = replace(READ, scopes=("jobs:read", "jobs:secret"))
    found = compare([READ], [stricter], caller("jobs:read"))
    assert found.losses == (Shift("read", "read", "insufficient_scope", ("jobs:secret",)),)
    found = compare([stricter], [READ], caller("jobs:read"))
    assert found.gains == (Shift("read", "read", "insufficient_scope", ("jobs:secret",)),)


def test_a_route_that_was_only_renamed_takes_nothing() -> None:
    assert compare([READ], [replace(READ, name="other")], caller("jobs:read")) == Difference()


def test_a_route_that_takes_a_part_of_another_takes_it_from_its_callers() -> None:
    everything = needing("all", "/{rest...}")
    admin = needing("admin", "/admin", "admin")
    found = compare([everything], [everything, admin], caller())
    assert found == Difference((Shift("all", "admin", "insufficient_scope", ("admin",)),))


def test_whoever_has_no_key_loses_and_gains_public_routes() -> None:
    public = replace(READ, needs_key=False)
    closed = compare([public], [READ], None)
    assert closed.losses == (Shift("read", "read", "missing_credentials"),)
    opened = compare([READ], [public], None)
    assert opened.gains == (Shift("read", "read", "missing_credentials"),)
    assert compare([public], [READ], caller("jobs:read")) == Difference()


def test_environments_are_judged_by_name_and_by_what_bars_them() -> None:
    live = replace(READ, environments=frozenset({"live"}))
    found = compare([READ], [live], caller("jobs:read", environment="test"))
    assert found.losses == (Shift("read", "read", "env_mismatch"),)
    barred = Crossing(RouteTable([READ]), NONE, RouteTable([READ]), frozenset({("live", "read")}))
    assert barred.compare(caller("jobs:read"), caller("jobs:read")).losses == (
        Shift("read", "read", "env_mismatch"),
    )


def test_a_key_that_cannot_be_bound_any_more_loses_everything_that_needs_a_key() -> None:
    public = replace(WRITE, needs_key=False)
    before = caller("jobs:read", "jobs:write")
    after = Caller(environment="live", scopes=frozenset(), is_usable=False)
    found = crossing([READ, public], [READ, public]).compare(before, after)
    assert found == Difference((Shift("read", "read", UNUSABLE),))


def test_scopes_that_a_caller_has_now_are_told_though_no_route_changed() -> None:
    found = crossing([READ, WRITE], [READ, WRITE]).compare(
        caller("jobs:read"), caller("jobs:read", "jobs:write")
    )
    assert found == Difference(
        (), (Shift("write", "write", "insufficient_scope", ("jobs:write",)),)
    )


def test_expressions_are_told_apart_by_their_names() -> None:
    old = replace(route("reports", "/v1/reports/[0-9]+", "GET", kind="regex"), scopes=("a",))
    assert compare([old], [replace(old, scopes=())], caller()).gains == (
        Shift("reports", "reports", "insufficient_scope", ("a",)),
    )
    assert compare([old], [], caller("a")).losses == (Shift("reports", "", "no_route"),)
    assert compare([], [old], caller("a")).gains == (Shift("", "reports", "no_route"),)


@pytest.mark.parametrize(
    ("environments", "expected"), [(frozenset(), None), (frozenset({"live"}), frozenset({"live"}))]
)
def test_what_a_route_asks_for_is_read_off_it(
    environments: frozenset[str], expected: frozenset[str] | None
) -> None:
    barred = frozenset({("test", "read"), ("live", "write")})
    found = need_of(replace(READ, environments=environments), barred)
    assert found == Need(
        scopes=frozenset({"jobs:read"}), environments=expected, barred=frozenset({"test"})
    )


_NAMES = st.sampled_from(["live", "test"])
_SCOPES = st.frozensets(st.sampled_from("abc"), max_size=3)


@given(_NAMES, _SCOPES, _SCOPES, st.frozensets(_NAMES), st.frozensets(_NAMES), st.booleans())
def test_it_judges_as_requests_are_judged(
    environment: str,
    held: frozenset[str],
    wanted: frozenset[str],
    environments: frozenset[str],
    barred_in: frozenset[str],
    needs_key: bool,
) -> None:
    """A plan that says something else than the gateway does would be worse than none."""
    one = replace(
        route("r", "/"),
        scopes=tuple(sorted(wanted)),
        environments=environments,
        needs_key=needs_key,
    )
    barred = frozenset((each, "r") for each in barred_in)
    key = BoundKey(
        record=a_key(environment=environment),
        tenant=a_tenant(),
        scopes=held,
        allowlists=(),
        claims=(),
        identity=b"",
    )
    head = RequestHead(method="GET", target=b"/", path="/")
    decided = authorize(Principal(Match(head, one, {}), key if needs_key else None), "", barred)
    expected = decided.reason.value if isinstance(decided, Denial) else ""
    who = Caller(environment=environment, scopes=held)
    assert refusal(need_of(one, barred), who) == expected
