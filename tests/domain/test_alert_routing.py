from __future__ import annotations

import pytest

from gateway.domain.alert_routing import ChannelTerms
from gateway.domain.alerts import AlertEvent, Severity
from tests.alert_samples import an_alert


@pytest.mark.parametrize("least", [*Severity])
@pytest.mark.parametrize("severity", [*Severity])
def test_a_channel_hears_of_what_is_urgent_enough(least: Severity, severity: Severity) -> None:
    order = [*Severity]
    terms = ChannelTerms(severity_min=least)
    alert = an_alert(severity=severity)
    assert terms.wants(alert, AlertEvent.FIRED) == (order.index(severity) >= order.index(least))


def test_a_channel_of_some_tenants_hears_neither_of_others_nor_of_the_gateway() -> None:
    terms = ChannelTerms(tenants=frozenset({"ten_a"}))
    assert terms.wants(an_alert(tenant_id="ten_a"), AlertEvent.FIRED)
    assert not terms.wants(an_alert(tenant_id="ten_b"), AlertEvent.FIRED)
    assert not terms.wants(an_alert(tenant_id="", key_id=""), AlertEvent.FIRED)


def test_a_channel_hears_of_the_end_only_if_it_wants_to() -> None:
    assert ChannelTerms().wants(an_alert(), AlertEvent.RESOLVED)
    assert not ChannelTerms(with_resolved=False).wants(an_alert(), AlertEvent.RESOLVED)
    assert ChannelTerms(with_resolved=False).wants(an_alert(), AlertEvent.FIRED)
