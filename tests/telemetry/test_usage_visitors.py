from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.outcome import Outcome
from gateway.domain.redaction import Redactor
from gateway.domain.usage import OTHER, VALUE_LENGTH_MAX, FacetKind
from gateway.telemetry.access_lines import REMEMBERED_MAX
from gateway.telemetry.usage_visitors import (
    Visitor,
    VisitorRules,
    Visitors,
    Who,
    read_country,
)
from tests.pipeline.samples import TOKEN
from tests.telemetry.outcomes import make_outcome

REDACTOR = Redactor({("sk", ("live", "test"))})
PROXY = "10.0.0.1"


def rules(**values: Any) -> VisitorRules:
    return VisitorRules(redactor=REDACTOR, is_trusted=lambda peer: peer == PROXY, **values)


def outcome(country: bytes = b"", **fields: Any) -> Outcome:
    made = make_outcome(**fields)
    if country:
        made.head.fields = ((b"cf-ipcountry", b"CF-IPCountry", country),)
    return made


Told = list[tuple[FacetKind, str, int]]
"""Kind, value, and how many requests."""


def seen(visitors: Visitors, *outcomes: Outcome) -> Told:
    known: dict[Who, Visitor] = {}
    for each in outcomes:
        who = (each.client_address, each.head.user_agent)
        visitor = known.get(who) or visitors.begin(known, who, each)
        visitor.requests += 1
    told = visitors.told(known.values())
    return [(kind, value, visitor.requests) for kind, value, visitor in told]


def values(found: Told, kind: FacetKind) -> list[str]:
    return [value for each, value, _ in found if each is kind]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.0.0/16"),
        ("2001:db8:1:2:3::4", "2001:db8::/32"),
        ("::ffff:192.0.2.77", "192.0.0.0/16"),
        ("", ""),
    ],
)
def test_nothing_finer_than_the_network_is_told(address: str, network: str) -> None:
    visitors = Visitors(rules(ipv4_prefix=16, ipv6_prefix=32))
    found = seen(visitors, outcome(client_address=address))
    assert values(found, FacetKind.NETWORK) == [network]


def test_a_user_agent_is_redacted_before_it_is_cut() -> None:
    agent = b"x" * (VALUE_LENGTH_MAX - 20) + TOKEN.encode() + b" \xff"
    [told] = values(seen(Visitors(rules()), outcome(user_agent=agent)), FacetKind.USER_AGENT)
    assert len(told) == VALUE_LENGTH_MAX
    assert TOKEN[:16] not in told


def test_the_country_is_believed_of_a_trusted_proxy_only_hp_27() -> None:
    visitors = Visitors(rules(country_header=b"cf-ipcountry"))
    found = seen(
        visitors,
        outcome(b"nz", client_address="192.0.2.1", peer_address=PROXY),
        outcome(b"de", client_address="192.0.2.2", peer_address="203.0.113.9"),
        outcome(b"", client_address="192.0.2.3", peer_address=PROXY),
    )
    assert values(found, FacetKind.COUNTRY) == ["NZ", "", ""]


def test_a_country_that_comes_twice_is_none() -> None:
    visitors = Visitors(rules(country_header=b"cf-ipcountry"))
    twice = outcome(b"nz", peer_address=PROXY)
    twice.head.fields = twice.head.fields * 2
    assert values(seen(visitors, twice), FacetKind.COUNTRY) == [""]


def test_without_the_header_nobody_tells_a_country() -> None:
    found = seen(Visitors(rules()), outcome(b"nz", peer_address=PROXY))
    assert values(found, FacetKind.COUNTRY) == []


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"nz", "NZ"),
        (b"DE", "DE"),
        (b"XX", ""),
        (b"T1", ""),
        (b"", ""),
        (b"NZL", ""),
        (b"\xc3\xa4", ""),
    ],
)
def test_only_a_code_is_a_country(raw: bytes, code: str) -> None:
    assert read_country(raw) == code


def test_beyond_the_bound_visitors_are_told_together_until_they_are_drained() -> None:
    visitors = Visitors(rules(), visitors_max=2)
    crowd = [outcome(client_address=f"192.0.{n}.1") for n in range(5)]
    found = [(value, count) for kind, value, count in seen(visitors, *crowd) if kind == "network"]
    assert found == [("192.0.0.0/24", 1), ("192.0.1.0/24", 1), (OTHER, 3)]
    visitors.begin_anew()
    assert values(seen(visitors, crowd[4]), FacetKind.NETWORK) == ["192.0.4.0/24"]


def test_what_is_remembered_is_bounded() -> None:
    visitors = Visitors(rules())
    crowd = [
        outcome(client_address=f"10.{n >> 8}.{n & 255}.1", user_agent=b"agent %d" % n)
        for n in range(REMEMBERED_MAX + 5)
    ]
    found = seen(visitors, *crowd)
    assert len(set(values(found, FacetKind.NETWORK))) == REMEMBERED_MAX + 5
    assert len(visitors._networks) <= REMEMBERED_MAX
    assert len(visitors._agents) <= REMEMBERED_MAX
    seen(visitors, outcome(user_agent=b"long" * 1_000))
    assert max(map(len, visitors._agents)) < 1_000


def test_changed_rules_hold_for_what_was_seen_before() -> None:
    visitors = Visitors(rules())
    request = outcome(client_address="192.0.2.77")
    assert values(seen(visitors, request), FacetKind.NETWORK) == ["192.0.2.0/24"]
    visitors.follow(rules(ipv4_prefix=8), 2)
    assert values(seen(visitors, request), FacetKind.NETWORK) == ["192.0.0.0/8"]
