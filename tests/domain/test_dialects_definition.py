from __future__ import annotations

from gateway.domain.denial import VERDICTS
from gateway.domain.dialects.definition import STATUS_TEXTS, Site, snake_codes


def test_every_status_that_a_reason_may_have_has_a_text() -> None:
    assert {verdict.status for verdict in VERDICTS.values()} <= set(STATUS_TEXTS)


def test_codes_follow_the_status_unless_a_dialect_says_otherwise() -> None:
    codes = snake_codes(s429="slow_down")
    assert set(codes) == set(STATUS_TEXTS)
    assert (codes[404], codes[429], codes[503]) == ("not_found", "slow_down", "service_unavailable")


def test_a_site_tells_no_links_unless_it_has_them() -> None:
    assert Site() == Site(realm="tollhouse", docs_url="", support_url="")
