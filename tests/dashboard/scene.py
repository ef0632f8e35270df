"""What stands on the stage when pictures are taken: tenants, keys in every state, and what was done with them."""

from __future__ import annotations

from typing import Any, Final

from tests.dashboard import history
from tests.dashboard.stage import Stage
from tests.e2e.waiting import eventually

AGENTS: Final = ("acme-export/2.4", "python-requests/2.32", "okhttp/4.12", "Go-http-client/2.0")
PATHS: Final = (
    *("/api/v1/jobs",) * 5,
    *("/api/v1/jobs/job_1",) * 3,
    *("/v1/candidates",) * 4,
    *("/v1/interviews",) * 2,
    "/v1/candidates/can_404",
    "/v1/nowhere",
)

TOLD: Final = ("ApiKeyApproachingRateLimit", "ApiKeyRotationOverdue", "RevokedApiKeyStillUsed")

TENANTS: Final[tuple[dict[str, Any], ...]] = (
    {"tenant_id": "northwind", "name": "Northwind Traders", "plan": "professional"},
    {"tenant_id": "hr-partner", "name": "Sonder HR (partner)", "plan": "professional"},
    {"tenant_id": "sonder-berlin", "name": "Sonder Berlin", "parent_id": "hr-partner"},
    {"tenant_id": "sonder-lyon", "name": "Sonder Lyon", "parent_id": "hr-partner"},
    {"tenant_id": "initech", "name": "Initech", "plan": "free"},
)


def set_scene(stage: Stage) -> str:
    """Put everything on the stage; return the id of the key that is looked at closely."""
    for tenant in TENANTS:
        stage.api("POST", "/tenants", tenant)
    stage.api("POST", "/tenants/initech:suspend", {"reason": "invoice of October is unpaid"})
    office = ["203.0.113.0/24 # office", "198.51.100.7 # build server", "2001:db8:7::/48 # office"]
    stage.api(
        "PATCH",
        "/tenants/northwind",
        {"ip_allowlist": office, "ip_allowlist_enabled": True, "ip_allowlist_mode": "shadow"},
    )
    closely, secret = stage.key(
        "Nightly export",
        scopes=["read", "interviews:read"],
        environment="live",
        tags=["nightly", "data"],
        metadata={"team": "data platform", "ticket": "OPS-4711"},
    )
    _use(stage, secret, AGENTS[:2])
    _further_keys(stage)
    stage.api("PATCH", f"/keys/{closely}", {"name": "Nightly export", "tags": ["nightly", "data"]})
    begun = stage.api("POST", f"/keys/{closely}:rotate", {"reason": "quarterly rotation"})
    _use(stage, begun["secret"], AGENTS[:1])
    stage.use(secret, "/v1/interviews", headers={"User-Agent": AGENTS[1]})
    keys = stage.api("GET", "/keys?limit=1000&state=active")["data"]
    rates = [90.0, 60.0, 25.0, 12.0, 6.0, 3.0]
    looked_at = stage.api("GET", f"/keys/{closely}")
    busy = [
        (looked_at, 120.0),
        *zip(sorted(keys, key=lambda key: key["name"]), rates, strict=False),
    ]
    history.put(stage.gateway.folder / "data" / "tollhouse.db", busy)
    _answer_alerts(stage)
    return closely


def _answer_alerts(stage: Stage) -> None:
    """Wait for what was done to be told of; one alert has been seen by somebody."""

    def told(rule: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stage.api("GET", f"/alerts?rule={rule}")["data"]
        return found

    eventually(lambda: all(told(rule) for rule in TOLD))
    near = told("ApiKeyApproachingRateLimit")[-1]
    seen = {"reason": "Acme has asked for a larger plan"}
    stage.api("POST", f"/alerts/{near['alert_id']}:acknowledge", seen)


def _further_keys(stage: Stage) -> None:
    for name, tenant_id, values in (
        ("Careers site", "acme", {"template": "production", "tags": ["web"]}),
        ("Warehouse sync", "northwind", {"scopes": ["*:read"], "environment": "live"}),
        ("Build pipeline", "acme", {"template": "ci"}),
        ("Staging of the app", "globex", {"template": "development"}),
        ("Quarterly figures", "globex", {"template": "analytics", "expires_in": "5d"}),
        (
            "Greenhouse",
            "hr-partner",
            {"scopes": ["write"], "environment": "live", "kind": "multi_tenant"},
        ),
    ):
        _, secret = stage.key(name, tenant_id, **values)
        _use(stage, secret, AGENTS[2:], times=1)
    halted, _ = stage.key("Old mobile app", "globex")
    stage.api("POST", f"/keys/{halted}:suspend", {"reason": "calls from an unknown network"})
    gone, secret = stage.key("Contractor, September", "acme")
    stage.api("POST", f"/keys/{gone}:revoke", {"reason": "contract ended"})
    stage.use(secret)
    stage.key("Nightly backup", "northwind", tags=["nightly"])
    stage.key("Of Initech", "initech", template="ci")


def _use(stage: Stage, secret: str, agents: tuple[str, ...], times: int = 2) -> None:
    for agent in agents:
        for path in PATHS * times:
            stage.use(secret, path, headers={"User-Agent": agent})
