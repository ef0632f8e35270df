"""A network that a key was never used from: IV-24."""

from __future__ import annotations

import pytest

from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.places import NEW_SECONDS, Seen, unexpected_networks
from gateway.domain.usage import OTHER
from tests.alert_samples import DAY, NOW, a_rule

RULE = a_rule(RuleName.UNEXPECTED_ADDRESS)
HOME = Seen(NOW - 30 * DAY, NOW)


def found(networks: dict[str, Seen], now: float = NOW) -> list[str]:
    return [each.subject for each in unexpected_networks("ten_a", "key_a", networks, RULE, now)]


def test_iv_24_a_network_that_is_new_to_a_known_key_is_found() -> None:
    assert found({"192.0.2.0/24": HOME, "203.0.113.0/24": Seen(NOW, NOW)}) == ["203.0.113.0/24"]


def test_what_is_found_names_the_network_and_the_key() -> None:
    networks = {"192.0.2.0/24": HOME, "203.0.113.0/24": Seen(NOW - 60, NOW)}
    [each] = unexpected_networks("ten_a", "key_a", networks, RULE, NOW)
    assert (each.tenant_id, each.key_id, each.rule) == ("ten_a", "key_a", RULE.name)
    assert each.text == "is used from 203.0.113.0/24, for the first time"
    assert each.details == {"network": "203.0.113.0/24", "first_at": NOW - 60}


@pytest.mark.parametrize(("days", "is_unexpected"), [(6.9, False), (7, True), (20, True)])
def test_iv_24_while_a_key_is_learnt_every_network_belongs_to_it(
    days: float, is_unexpected: bool
) -> None:
    networks = {"192.0.2.0/24": Seen(NOW - days * DAY, NOW), "203.0.113.0/24": Seen(NOW, NOW)}
    assert bool(found(networks)) == is_unexpected


def test_a_network_is_new_for_a_day_and_then_belongs_to_the_key() -> None:
    networks = {"192.0.2.0/24": HOME, "203.0.113.0/24": Seen(NOW, NOW)}
    assert found(networks, NOW + NEW_SECONDS - 1)
    assert not found(networks, NOW + NEW_SECONDS)


def test_what_stands_for_all_others_is_no_network() -> None:
    assert found({"192.0.2.0/24": HOME, OTHER: Seen(NOW, NOW), "": Seen(NOW, NOW)}) == []


def test_a_key_of_which_nothing_is_known_is_learnt_anew() -> None:
    assert found({}) == []
    assert found({"203.0.113.0/24": Seen(NOW, NOW)}) == []
