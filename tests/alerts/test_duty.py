"""Several gateways that share a store: what keys do is judged by one, each judges itself, and nothing is left over."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.alerts.duty import ALL, Duty, found_at, node_of
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.health import Health
from gateway.ports import StoreUnavailable
from tests.alert_samples import a_book, a_finding, an_alert, some_settings
from tests.alerts.test_evaluator import FailingAlerts
from tests.alerts.watching import Watching, watching

ERRORS, DOWN = "ApiKeyHighErrorRate", "UpstreamDown"
QUICK = some_settings(
    a_book(ApiKeyHighErrorRate={"resolve_after": 0}, UpstreamDown={"resolve_after": 0})
)
JOBS = Health(upstreams={"jobs": False})


def test_alone_everything_is_ours() -> None:
    assert ALL.covers(an_alert())
    assert ALL.covers(an_alert(rule=DOWN))
    assert ALL.covers(an_alert(rule=DOWN, details={"node": "gone"}))


def test_among_several_keys_are_the_leaders_and_each_has_itself() -> None:
    of_key, of_a, of_b, of_nobody = (
        an_alert(),
        an_alert(rule=DOWN, details={"node": "a"}),
        an_alert(rule=DOWN, details={"node": "b"}),
        an_alert(rule=DOWN, details={}),
    )
    leader = Duty("a", leads=True, others=frozenset("b"))
    assert [leader.covers(each) for each in (of_key, of_a, of_b, of_nobody)] == [1, 1, 0, 1]
    other = Duty("b", leads=False, others=frozenset("a"))
    assert [other.covers(each) for each in (of_key, of_a, of_b, of_nobody)] == [0, 0, 1, 0]
    assert Duty("a").covers(of_b)  # which is gone


def test_a_finding_about_one_of_several_names_it() -> None:
    found = a_finding(rule=RuleName.UPSTREAM_DOWN, subject="jobs", details={"upstream": "jobs"})
    named = found_at("eu-1", found)
    assert (named.subject, node_of(named.details)) == ("eu-1: jobs", "eu-1")
    assert named.details["upstream"] == "jobs"
    assert found_at("eu-1", a_finding(subject="")).subject == "eu-1"


async def pair() -> tuple[Watching, Watching]:
    """Return two gateways over one store; the first one leads."""
    a = await watching(kept=FailingAlerts(), settings=QUICK, duty=Duty("a", others=frozenset("b")))
    b = Watching(
        kept=a.kept,
        store=a.store,
        usage=a.usage,
        clock=a.clock,
        settings=QUICK,
        duty=Duty("b", leads=False, others=frozenset("a")),
    )
    b.ids = count(1000)
    return a, b


async def rounds(*gateways: Watching, number: int = 1) -> None:
    for _ in range(number):
        for each in gateways:
            await each.look(30)


async def test_what_a_key_does_is_told_once_and_by_the_one_that_leads() -> None:
    a, b = await pair()
    await a.use(requests=100, denied=60)
    await rounds(b, a, number=3)
    assert await a.alerts() == [(ERRORS, "key_a", "denied")]
    assert (a.evaluator.firing[ERRORS], b.evaluator.firing[ERRORS]) == (1, 0)
    assert await a.told() == [("fired", ERRORS)]


async def test_each_tells_of_itself_and_ends_that_alone() -> None:
    a, b = await pair()
    a.health = b.health = JOBS
    await rounds(a, b, number=3)
    assert await a.alerts("firing") == [(DOWN, "", "a: jobs"), (DOWN, "", "b: jobs")]
    alert = await a.kept.alert("alr_1000")
    assert alert.summary == (
        "The gateway b knows no target of the upstream jobs that should get requests"
    )
    a.health = Health()
    await rounds(a, b, number=3)
    assert await a.alerts("resolved") == [(DOWN, "", "a: jobs")]
    assert await a.alerts("firing") == [(DOWN, "", "b: jobs")]


async def test_another_that_leads_goes_on_where_the_first_one_stopped() -> None:
    a, b = await pair()
    await a.use(requests=100, denied=60)
    a.health = b.health = JOBS
    await rounds(a, b)
    b.duty = Duty("b")  # the other is gone
    await rounds(b, number=2)
    assert await b.alerts("firing") == [(ERRORS, "key_a", "denied"), (DOWN, "", "b: jobs")]
    assert await b.alerts("resolved") == [(DOWN, "", "a: jobs")]
    assert b.evaluator.firing[ERRORS] == 1
    await b.look(3_600)
    assert (await b.told()).count(("fired", ERRORS)) == 1
    assert (await b.told()).count(("resolved", ERRORS)) == 1


async def test_one_that_leads_no_more_leaves_keys_to_the_others() -> None:
    a, b = await pair()
    await a.use(requests=100, denied=60)
    await rounds(a)
    a.duty, b.duty = Duty("a", leads=False, others=frozenset("b")), Duty("b", others=frozenset("a"))
    await a.look(3_600)
    assert await a.alerts("firing") == [(ERRORS, "key_a", "denied")]
    await b.look(0)
    assert await a.alerts("resolved") == [(ERRORS, "key_a", "denied")]


async def test_what_could_not_be_stored_is_stored_before_others_take_over() -> None:
    a, _ = await pair()
    await a.use(requests=100, denied=60)
    a.kept.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await a.look()
    a.duty = Duty("a", leads=False, others=frozenset("b"))
    a.kept.error = None
    await a.look()
    assert (ERRORS, "key_a", "denied") in await a.alerts("firing")
    assert ("fired", ERRORS) in await a.told()


async def test_of_unknown_credentials_it_is_told_how_many_came_through_others() -> None:
    a, _ = await pair()
    a.requests.rows = [{"reason": "unknown_key", "client_address": "192.0.2.7"}] * 60
    await a.refuse("unknown_key", "", 130)
    await a.look(0)
    assert await a.alerts() == [
        ("ApiKeyAuthFailuresHigh", "", "192.0.2.7/24"),
        ("ApiKeyAuthFailuresHigh", "", "unknown credentials"),
    ]
    alone = await watching()
    alone.requests.rows = a.requests.rows
    await alone.refuse("unknown_key", "", 130)
    await alone.look(0)
    assert await alone.alerts() == [("ApiKeyAuthFailuresHigh", "", "192.0.2.7/24")]
