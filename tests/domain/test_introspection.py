from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.introspection import (
    FIELDS,
    IntrospectionView,
    LimitLine,
    render_introspection,
    requests_per_minute,
)

_VIEW = IntrospectionView(
    tenant_id="ten_1",
    company_name="Bäckerei Ü",
    plan="professional",
    permissions=("interviews:read", "interviews:write"),
    key_id="key_1",
    key_name="Production",
    environment="live",
    expires_at=1_735_689_600.0,
    limits=(LimitLine("minute", 300, 299, 60), LimitLine("month", 100_000, 5, 2_592_000)),
    current_usage=1,
    answered_at=1_700_000_000.9,
)


def _body(dialect: str, view: IntrospectionView = _VIEW) -> dict[str, Any]:
    rendered = render_introspection(dialect, view)
    assert rendered.isascii()
    body: dict[str, Any] = json.loads(rendered)
    return body


def test_jh_25_jobhive_gets_exactly_the_vendors_members() -> None:
    view = replace(_VIEW, company_name="Acme")
    assert render_introspection("jobhive", view) == (
        b'{"success":true,"data":{"company_name":"Acme","plan":"professional",'
        b'"api_key_permissions":["interviews:read","interviews:write"],'
        b'"rate_limit":{"requests_per_minute":300,"current_usage":1}}}'
    )


def test_the_default_dialect_answers_flat() -> None:
    assert _body("problem") == {
        "tenant_id": "ten_1",
        "tenant": "Bäckerei Ü",
        "plan": "professional",
        "key_id": "key_1",
        "name": "Production",
        "environment": "live",
        "scopes": ["interviews:read", "interviews:write"],
        "expires_at": "2025-01-01T00:00:00Z",
        "limits": [
            {"policy": "minute", "limit": 300, "remaining": 299, "window_seconds": 60},
            {"policy": "month", "limit": 100_000, "remaining": 5, "window_seconds": 2_592_000},
        ],
    }


def test_x_10_hirepanda_does_not_show_an_environment() -> None:
    body = _body("hirepanda")
    assert body["workspace"] == "Bäckerei Ü"
    assert body["key"]["permissions"] == ["interviews:read", "interviews:write"]
    assert "live" not in json.dumps(body)


def test_iv_38_instaview_answers_in_its_general_envelope() -> None:
    body = _body("instaview")
    assert list(body) == ["success", "data", "error", "timestamp"]
    assert (body["success"], body["error"]) == (True, None)
    assert body["timestamp"] == "2023-11-14T22:13:20Z"
    assert body["data"] == _body("instaview_nest")
    assert body["data"]["rateLimits"][0]["windowSeconds"] == 60


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_can_answer_also_for_a_key_without_limit_and_expiry(dialect: str) -> None:
    view = replace(_VIEW, expires_at=None, limits=(), permissions=(), plan="")
    body = json.dumps(_body(dialect, view))
    assert "null" in body
    assert "professional" not in body


def test_the_answer_is_json_that_nobody_stores() -> None:
    assert dict(FIELDS) == {b"Content-Type": b"application/json", b"Cache-Control": b"no-store"}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((), None),
        ((LimitLine("minute", 300, 0, 60),), 300),
        ((LimitLine("second", 10, 0, 1), LimitLine("minute", 300, 0, 60)), 300),
        ((LimitLine("hour", 90, 0, 3600), LimitLine("second", 10, 0, 1)), 600),
        ((LimitLine("hour", 90, 0, 3600),), 1),
    ],
)
def test_requests_per_minute_come_from_the_limit_that_counts_by_the_minute_else_the_shortest(
    limits: tuple[LimitLine, ...], expected: int | None
) -> None:
    assert requests_per_minute(limits) == expected
