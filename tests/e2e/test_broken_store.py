"""A gateway with two workers that is killed, and started again with a store that is broken."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import requests

from tests.e2e.crew import admin, create_key, pids, two_workers
from tests.e2e.process import Running, running
from tests.e2e.waiting import eventually

PATH = "/v1/interviews"


def ask(gateway: Running, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return requests.get(f"{gateway.url}{PATH}", headers=headers, timeout=10).status_code


def metric(gateway: Running, name: str) -> str:
    text = requests.get(f"http://{gateway.metrics}/metrics", timeout=10).text
    return next(line for line in text.splitlines() if line.startswith(name)).rpartition(" ")[2]


def break_file(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}-*"):
        each.unlink()
    path.write_bytes(b"no database" * 1000)


def test_workers_serve_known_keys_by_the_snapshot_until_the_store_is_back(
    demo_upstream: str, tmp_path: Path
) -> None:
    store = tmp_path / "data" / "tollhouse.db"
    with two_workers(tmp_path, demo_upstream) as gateway:
        (_, good), (revoked_id, revoked) = create_key(gateway), create_key(gateway)
        assert (ask(gateway, good), ask(gateway, revoked)) == (200, 200)
        eventually(lambda: metric(gateway, "tollhouse_key_snapshot_age_seconds") != "+Inf")
        admin(gateway, "POST", f"/keys/{revoked_id}:revoke", {"reason": "leaked"})
        serving = pids(gateway)
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait(10)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in serving))
        text = (tmp_path / "config.yaml").read_text()
    shutil.copy(store, tmp_path / "kept")
    break_file(store)
    with running(tmp_path, demo_upstream, text) as gateway:
        for _ in range(4):  # each worker
            assert (ask(gateway, good), ask(gateway, revoked)) == (200, 401)
            assert ask(gateway, f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}") == 401  # a typo
        assert requests.get(f"http://{gateway.metrics}/readyz", timeout=10).status_code == 200
        admin(gateway, "POST", "/tenants", {"tenant_id": "late", "name": "Late"}, 503)
        eventually(
            lambda: metric(gateway, 'tollhouse_degraded{dependency="keys"}') == "1.0",
        )
        store.unlink()
        shutil.copy(tmp_path / "kept", store)
        eventually(lambda: metric(gateway, 'tollhouse_degraded{dependency="keys"}') == "0.0")
        _, new = create_key(gateway)
        assert [ask(gateway, each) for each in (good, revoked, new)] == [200, 401, 200]
