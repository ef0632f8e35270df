"""A key from its creation to its end, through the command line and over real connections."""

from __future__ import annotations

import time

import requests

from tests.e2e.process import Running


def ask(
    gateway: Running, secret: str, path: str = "/api/v1/jobs", method: str = "GET"
) -> requests.Response:
    fields = {"Authorization": f"Bearer {secret}"} if secret else {}
    return requests.request(method, gateway.url + path, headers=fields, timeout=10)


def new_key(gateway: Running, name: str, *arguments: str) -> tuple[str, str]:
    return gateway.create_key(
        "--tenant", "acme", "--name", name, "--environment", "live", *arguments
    )


def test_a_key_works_until_it_is_revoked_and_never_again(gateway: Running) -> None:
    key_id, secret = new_key(gateway, "life", "--scope", "jobs:read")
    assert ask(gateway, secret).status_code == 200
    gateway.cli("keys", "revoke", key_id, "--reason", "test")
    refused = ask(gateway, secret)
    assert (refused.status_code, refused.json()["code"]) == (401, "key_revoked")
    gateway.cli("keys", "resume", key_id, status=1)
    assert ask(gateway, secret).status_code == 401


def test_suspending_takes_effect_at_once_and_resuming_too(gateway: Running) -> None:
    key_id, secret = new_key(gateway, "pause", "--scope", "jobs:read")
    for _ in range(3):
        assert ask(gateway, secret).status_code == 200
        gateway.cli("keys", "suspend", key_id, "--reason", "investigating")
        assert ask(gateway, secret).json()["code"] == "key_suspended"
        gateway.cli("keys", "resume", key_id)
    assert ask(gateway, secret).status_code == 200


def test_a_change_of_scopes_takes_effect_at_once(gateway: Running) -> None:
    key_id, secret = new_key(gateway, "scopes", "--scope", "candidates:read")
    refused = ask(gateway, secret)
    assert refused.status_code == 403
    assert refused.json()["required_scopes"] == ["jobs:read"]
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    gateway.cli("keys", "update", key_id, "--scope", "jobs:read")
    assert ask(gateway, secret).status_code == 200


def test_an_allowlist_names_the_address_that_was_refused(gateway: Running) -> None:
    key_id, secret = new_key(gateway, "network", "--scope", "jobs:read", "--ip", "192.0.2.0/24")
    refused = ask(gateway, secret)
    assert refused.json()["code"] == "ip_not_allowed"
    assert refused.json()["client_address"] == "127.0.0.1"
    gateway.cli("keys", "update", key_id, "--ip", "127.0.0.0/8")
    assert ask(gateway, secret).status_code == 200


def test_an_expired_key_says_so(gateway: Running) -> None:
    _, secret = new_key(gateway, "short", "--scope", "jobs:read", "--expires", "1s")
    assert ask(gateway, secret).status_code == 200
    time.sleep(1.1)  # the wall clock of another process
    assert ask(gateway, secret).json()["code"] == "key_expired"


def test_suspending_a_tenant_stops_its_keys(gateway: Running) -> None:
    gateway.cli("tenants", "create", "--id", "hooli", "--name", "Hooli")
    _, secret = gateway.create_key(
        "--tenant", "hooli", "--name", "k", "--environment", "live", "--scope", "jobs:read"
    )
    assert ask(gateway, secret).status_code == 200
    gateway.cli("tenants", "suspend", "hooli", "--reason", "unpaid")
    assert ask(gateway, secret).json()["code"] == "tenant_suspended"
    gateway.cli("tenants", "resume", "hooli")
    assert ask(gateway, secret).status_code == 200


def test_deleting_a_tenant_revokes_its_keys(gateway: Running) -> None:
    gateway.cli("tenants", "create", "--id", "raviga", "--name", "Raviga")
    key_id, secret = gateway.create_key(
        "--tenant", "raviga", "--name", "k", "--environment", "live", "--scope", "jobs:read"
    )
    assert ask(gateway, secret).status_code == 200
    gateway.cli("tenants", "delete", "raviga", "--reason", "left", "--revoke-keys")
    assert ask(gateway, secret).json()["code"] == "key_revoked"
    told = gateway.cli("explain", "GET", "/api/v1/jobs", "--key-id", key_id)
    assert "key_revoked" in told


def test_a_change_on_the_file_reaches_the_running_gateway(gateway: Running) -> None:
    key_id, secret = new_key(gateway, "offline", "--scope", "jobs:read")
    assert ask(gateway, secret).status_code == 200
    gateway.cli("keys", "revoke", key_id, "--reason", "test", "--offline")
    deadline = time.monotonic() + 5
    while ask(gateway, secret).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ask(gateway, secret).json()["code"] == "key_revoked"


def test_429_tells_a_wait_after_which_the_request_passes(gateway: Running) -> None:
    _, secret = new_key(gateway, "slow", "--scope", "jobs:read", "--plan", "trickle")
    statuses = [ask(gateway, secret).status_code for _ in range(12)]
    assert statuses.count(200) >= 1
    refused = ask(gateway, secret)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["retry_after"] == int(refused.headers["Retry-After"])
    time.sleep(int(refused.headers["Retry-After"]))
    assert ask(gateway, secret).status_code == 200


def test_what_no_route_lists_does_not_exist(gateway: Running) -> None:
    _, secret = new_key(gateway, "routes", "--scope", "*")
    assert ask(gateway, secret, "/nowhere").json()["code"] == "no_route"
    wrong = ask(gateway, secret, "/api/v1/jobs", "PUT")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    assert ask(gateway, "", "/api/v1/jobs").json()["code"] == "missing_credentials"


def test_introspection_names_the_scopes(gateway: Running) -> None:
    _, secret = new_key(gateway, "self", "--scope", "jobs:read")
    told = ask(gateway, secret, "/v1/account/profile").json()
    assert told["scopes"] == ["jobs:read"]


def test_no_secret_reaches_a_file(gateway: Running) -> None:
    _, secret = new_key(gateway, "canary", "--scope", "jobs:read")
    for path in ("/api/v1/jobs", f"/api/v1/jobs?api_key={secret}", f"/api/v1/jobs/{secret}"):
        ask(gateway, secret, path)
        requests.get(gateway.url + path, headers={"Referer": f"https://x/?k={secret}"}, timeout=10)
    requests.get(gateway.url + "/api/v1/jobs", headers={"User-Agent": secret}, timeout=10)
    time.sleep(1.5)  # the access log is written once a second
    metrics = requests.get(f"http://{gateway.metrics}/metrics", timeout=10).text
    assert secret not in metrics
    random_part = secret.rsplit("_", 1)[1][:43].encode()
    files = [path for path in gateway.folder.rglob("*") if path.is_file()]
    assert gateway.access_log in files
    for file in files:
        assert random_part not in file.read_bytes(), file
