"""A backup of a store that is being written to, and its restoration: the commands, as an operator runs them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.crew import admin, create_key, two_workers
from tests.e2e.process import Running, running, tollhouse

pytestmark = pytest.mark.slow


class Writers:
    """Mint and revoke keys until told to stop; remember which were acknowledged."""

    def __init__(self, gateway: Running) -> None:
        self.made: list[tuple[str, str]] = []
        self.revoked: list[str] = []
        self.failures: list[BaseException] = []
        self._gateway = gateway
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(3)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self) -> None:
        try:
            while not self._is_over.is_set():
                key_id, secret = create_key(self._gateway)
                self.made.append((key_id, secret))
                if len(self.made) % 3 == 0:
                    reason = {"reason": "a test"}
                    admin(self._gateway, "POST", f"/keys/{key_id}:revoke", reason)
                    self.revoked.append(key_id)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failures.append(error)


def db(folder: Path, verb: str, *arguments: str, status: int = 0) -> Any:
    config = str(folder / "config.yaml")
    done = tollhouse("db", verb, *arguments, "--config", config, "--output", "json")
    assert done.returncode == status, done.stderr + done.stdout
    return json.loads(done.stdout) if status == 0 else done.stderr


def works(gateway: Running, secret: str) -> int:
    fields = {"Authorization": f"Bearer {secret}"}
    return requests.get(gateway.url + "/api/v1/jobs", headers=fields, timeout=10).status_code


def test_a_backup_under_writes_is_restored_and_nothing_revoked_works_again(
    demo_upstream: str, tmp_path: Path
) -> None:
    copies = [tmp_path / f"copy-{n}.db" for n in range(3)]
    with two_workers(tmp_path, demo_upstream) as gateway:
        kept = create_key(gateway)
        with Writers(gateway) as writers:
            before = [len(writers.made)]
            for copy in copies:
                told = db(tmp_path, "backup", str(copy))
                before.append(len(writers.made))
                assert told["keys"] >= before[-2]  # what was acknowledged before it began
        assert writers.failures == []
        assert before[0] < before[-1], "nothing was written meanwhile"
        assert "stop the gateway" in db(
            tmp_path, "restore", str(copies[0]), "--reason", "too early", status=1
        )
        admin(gateway, "POST", f"/keys/{kept[0]}:revoke", {"reason": "leaked since the backup"})
        assert works(gateway, kept[1]) == 401
    told = db(tmp_path, "restore", str(copies[1]), "--reason", "the disk died")
    assert told["stopped_again"]["keys"] >= 1
    assert told["stopped_again"]["lost"] == len(writers.made) + 1 - told["keys"]
    text = (tmp_path / "config.yaml").read_text()
    with running(tmp_path, demo_upstream, text) as gateway:
        assert works(gateway, kept[1]) == 401
        states = {each["key_id"]: each["state"] for each in keys(gateway)}
        assert len(states) == told["keys"]
        assert not [each for each in writers.revoked if states.get(each, "revoked") != "revoked"]
        there = [secret for key_id, secret in writers.made if states.get(key_id) == "active"]
        gone = [secret for key_id, secret in writers.made if key_id not in states]
        assert [works(gateway, secret) for secret in there[:5]] == [200] * 5
        assert [works(gateway, secret) for secret in gone[:2]] == [401] * 2
        report = json.loads(gateway.cli("audit", "verify", "--output", "json"))
        assert report["result"] == "intact"
        [record] = json.loads(
            gateway.cli("audit", "query", "--type", "store.restored", "--output", "json")
        )
        assert record["reason"] == "the disk died"


def keys(gateway: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = admin(
            gateway, "GET", f"/keys?limit=1000&cursor={cursor}" if cursor else "/keys?limit=1000"
        )
        found += page["data"]
        cursor = page["next_cursor"]
        if not cursor:
            return found
