"""What is told of a request where workers serve: the supervisor looks into the buckets that they draw on."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.crew import Client, admin, two_workers

PATH = "/api/v1/jobs"


def test_explain_sees_what_all_workers_drew_and_draws_nothing(
    tmp_path: Path, demo_upstream: str
) -> None:
    """D5."""
    with two_workers(tmp_path, demo_upstream) as gateway:
        wish = {"tenant_id": "acme", "name": "k", "environment": "live", "plan": "trickle"}
        made = admin(gateway, "POST", "/keys", wish | {"scopes": ["jobs:read"]}, 201)
        asked = {"url": PATH, "key_id": made["key"]["key_id"], "client_address": "127.0.0.1"}
        for expected in (200, 200, 200, 429):
            for _ in range(2):
                told = admin(gateway, "POST", "/explain", asked)
                assert told["status"] == (None if expected == 200 else 429), told
            client = Client(gateway, made["secret"])
            assert client.get(PATH) == expected
            client.close()
        limits = next(each["facts"] for each in told["steps"] if each["step"] == "limits")
        assert limits["is_known"]
        assert [bucket["remaining_before"] for bucket in limits["buckets"]] == [0]
        tested = admin(gateway, "POST", "/ip-test", {"address": "192.0.2.1", "route": "jobs.list"})
        assert tested["is_allowed"]
