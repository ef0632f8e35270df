"""A promise that does not hold is found: otherwise a scene would prove nothing."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.chaos.clients import Ask, Key, Keys, Kind
from tests.chaos.dial import Admin
from tests.chaos.facts import (
    Bounds,
    Facts,
    Times,
    excess,
    facts_of,
    is_calm,
    last_sign,
)
from tests.chaos.operators import Change, Journal, lost
from tests.chaos.report import cells
from tests.chaos.scenes import SCENES

TIMES = Times(broken=10.0, mended=14.0, healthy=15.0)
NOTHING: list[Change] = []


def an_ask(kind: Kind, status: int, ended: float = 11.0, *, key_id: str = "") -> Ask:
    return Ask(kind, 0, key_id, ended - 0.01, ended, status)


def said(
    *asks: Ask, bounds: Bounds | None = None, unharmed: frozenset[Kind] = frozenset(), **more: Any
) -> list[str]:
    facts = facts_of(asks, Journal(), TIMES, 2, lambda seconds: 1 + seconds)
    for name, value in more.items():
        setattr(facts, name, value)
    return facts.broken(bounds or Bounds(), unharmed, may_lose="", may_miss="")


def test_nothing_is_said_of_a_scene_in_which_all_went_well() -> None:
    well = (
        an_ask(Kind.KNOWN, 200),
        an_ask(Kind.UNKNOWN, 401),
        an_ask(Kind.REVOKED, 503),
        *[an_ask(Kind.QUOTA, 200)] * 2,
        an_ask(Kind.QUOTA, 429),
    )
    assert said(*well) == []


@pytest.mark.parametrize("kind", [Kind.UNKNOWN, Kind.REVOKED])
def test_a_request_that_was_let_in_wrongly_is_found(kind: Kind) -> None:
    assert said(an_ask(kind, 200)) == [f"let in: {an_ask(kind, 200)}"]


def test_what_is_admitted_beyond_a_bound_is_found() -> None:
    three = [an_ask(Kind.QUOTA, 200)] * 3
    assert said(*three) == ["1 beyond a quota, at most 0"]
    assert said(*three, bounds=Bounds(quota=1)) == []
    paced = [an_ask(Kind.RATE, 200)] * 3
    assert said(*paced) == ["1 beyond a rate, at most 0"]
    assert said(*paced, bounds=Bounds(rate=1)) == []


def test_the_worst_interval_counts_and_not_the_whole() -> None:
    asks = [an_ask(Kind.RATE, 200, at) for at in (0.0, 5.0, 5.1, 5.2, 5.3)]
    assert excess(asks, lambda seconds: 1 + seconds) == 2
    assert excess(asks[:2], lambda seconds: 1 + seconds) == 0


def test_losses_and_records_that_are_missing_are_found() -> None:
    assert said(lost=["key_a"]) == ["lost: key_a"]
    assert said(unlogged=2) == ["2 answers not in the log, 0 lines not in usage"]
    facts = Facts(TIMES, [], [], 0, 0, lost=["key_a"], uncounted=3)
    assert facts.broken(Bounds(), (), may_lose="some", may_miss="some") == []


def test_whoever_was_not_to_notice_anything_did_not() -> None:
    failed = an_ask(Kind.KNOWN, 503)
    assert said(failed) == []
    assert said(failed, unharmed=frozenset({Kind.KNOWN})) == [
        f"1 requests were to notice nothing: {[failed]}"
    ]
    before = an_ask(Kind.KNOWN, 503, ended=9.0)
    assert said(before, unharmed=frozenset({Kind.KNOWN})) == []


def test_a_gateway_that_does_not_recover_is_found() -> None:
    facts = Facts(Times(1.0, 2.0, None), [], [], 0, 0)
    assert facts.healthy_after is None
    assert facts.broken(Bounds(), (), may_lose="", may_miss="") == [
        "it did not become healthy in time"
    ]


def test_it_is_healthy_after_the_last_bad_answer_and_the_first_change_of_each_gateway() -> None:
    changes = [Change("create", n, 14.5 + n, 14.6 + n, 201) for n in (0, 1)]
    assert last_sign([], changes, 14.0, 2) == 15.6
    assert last_sign([], changes[:1], 14.0, 2) is None
    asks = [an_ask(Kind.COLD, 503, 16.0), an_ask(Kind.COLD, 503, 13.0)]
    assert last_sign(asks, changes, 14.0, 2) == 16.0
    early = Change("create", 0, 13.0, 14.1, 201)
    assert last_sign([], [early], 14.0, 1) is None


def test_it_is_calm_when_every_client_is_answered_well() -> None:
    well = {Kind.UNKNOWN: 401, Kind.REVOKED: 401}
    asks = [an_ask(kind, well.get(kind, 200)) for kind in Kind if kind is not Kind.COLD]
    assert is_calm(asks, 10.0, 1)
    assert not is_calm(asks[1:], 10.0, 1)
    assert not is_calm(asks, 10.0, 2)
    assert not is_calm([*asks, an_ask(Kind.COLD, 503)], 10.0, 1)
    assert is_calm([an_ask(Kind.COLD, 503, 9.0), *asks], 10.0, 1)


def test_a_key_that_somebody_had_begun_to_end_may_be_refused() -> None:
    journal = Journal(ending={"key_a": 10.5})
    refused = an_ask(Kind.FRESH, 401, key_id="key_a")
    facts = facts_of([refused], journal, TIMES, 0, lambda _: 0)
    assert facts.asks == []
    early = refused._replace(ended=10.4)
    assert facts_of([early], journal, TIMES, 0, lambda _: 0).asks == [early]


class FakeAdmin:
    """Answers as the admin API of a gateway that has one key, `key_a`, and has recorded its creation."""

    def __init__(self, *, result: str = "intact") -> None:
        self._result = result

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        if path == "/audit:verify":
            return 200, {"result": self._result}
        return (200, {"state": "active"}) if path == "/keys/key_a" else (404, None)

    def must(self, method: str, path: str, body: object = None) -> Any:
        if "cursor" in path:
            return {"data": [], "next_cursor": None}
        return {"data": [{"type": "key.created", "key_id": "key_a"}], "next_cursor": "x"}


def missing(journal: Journal, **how: Any) -> list[str]:
    return lost(cast("Admin", FakeAdmin(**how)), journal)


def test_what_was_acknowledged_and_is_not_there_is_found() -> None:
    created = {("key.created", "key_a")}
    assert missing(Journal(states={"key_a": "active"}, events=created)) == []
    assert missing(Journal(states={"key_a": None})) == []
    assert missing(Journal(states={"key_a": "revoked"})) == ["key_a should be revoked: active"]
    assert missing(Journal(states={"key_b": "active"})) == ["key_b should be active: 404"]
    assert missing(Journal(events={("key.revoked", "key_a")})) == ["no record key.revoked of key_a"]
    [changed] = missing(Journal(), result="changed")
    assert "changed" in changed


def test_clients_take_the_keys_that_there_are() -> None:
    keys = Keys()
    assert keys.take(Kind.FRESH, 0) is None
    assert keys.take(Kind.REVOKED, 0) is None
    keys.revoked.append(Key("key_a", "secret", 1.0))
    assert keys.take(Kind.REVOKED, 0) == Key("key_a", "secret", 1.0)
    one, other = (keys.take(Kind.UNKNOWN, 0) for _ in range(2))
    assert one != other


def test_a_row_of_the_table_says_what_was_seen() -> None:
    asks = [an_ask(Kind.KNOWN, 200), an_ask(Kind.KNOWN, 503), an_ask(Kind.COLD, 0)]
    changes = [Change("create", 0, 11.0, 11.1, 201), Change("revoke", 0, 11.0, 11.1, 503)]
    facts = Facts(TIMES, asks, changes, 0, 0, growth_bytes=2**20)
    assert cells(SCENES[1], facts)[1:] == [
        *("1 x 503 of 2", "1 x no answer of 1", "all 0 well", "1 x 503 of 2", "0"),
        *(f"0 (30); 0 ({SCENES[1].bounds.rate})", "0; 0; 0", "1.0 s", "+1 MiB"),
    ]
