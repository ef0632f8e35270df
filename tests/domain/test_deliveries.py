from __future__ import annotations

from dataclasses import replace

from gateway.domain.deliveries import Delivery

DELIVERY = Delivery(
    delivery_id="dlv_1",
    digest=bytes(range(32)),
    key_id="key_a",
    tenant_id="ten_a",
    created_at=0.0,
    expires_at=60.0,
)


def test_a_link_is_open_until_it_is_used_or_expires() -> None:
    """HT-3."""
    assert DELIVERY.is_open_at(59.9)
    assert not DELIVERY.is_open_at(60.0)
    assert not replace(DELIVERY, redeemed_at=1.0).is_open_at(2.0)


def test_the_digest_of_a_link_appears_in_no_text() -> None:
    assert repr(DELIVERY.digest) not in repr(DELIVERY)
