"""Commands that go on until they are interrupted: what comes is shown at once, once, and nothing else is."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from tests.e2e.process import ROOT, TOLLHOUSE, Running
from tests.e2e.waiting import eventually


class Following:
    """A command that follows; its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """Return the next line, as soon as it is there."""
        return self._lines.get(timeout=30)

    def rows(self, count: int) -> list[Any]:
        """Return so many objects."""
        return [json.loads(self.line()) for _ in range(count)]

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit status and what stands on stderr. Nothing may be left to read."""
        self.process.send_signal(signal.SIGINT)
        status, said = self.end()
        assert self._lines.empty()
        return status, said

    def end(self) -> tuple[int, str]:
        """Return the exit status and what stands on stderr."""
        status = self.process.wait(15)
        self._reader.join(15)
        assert self.process.stderr is not None
        with self.process.stderr as messages:
            return status, messages.read()


@contextmanager
def following(gateway: Running, *arguments: str, form: str = "json") -> Iterator[Following]:
    config = str(gateway.folder / "config.yaml")
    command = (*TOLLHOUSE, *arguments, "--follow", "--output", form, "--config", config)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    tail = Following(process)
    try:
        yield tail
    finally:
        if process.poll() is None:
            process.kill()
            tail.end()


def send(gateway: Running, *targets: str) -> None:
    """Send requests, and return when the last of them is in the log."""
    for target in targets:
        assert requests.get(f"{gateway.url}{target}", timeout=10).status_code == 200

    def is_logged() -> bool:
        found = json.loads(gateway.cli("requests", "query", "--limit", "1", "--output", "json"))
        return bool(found) and found[0]["target"] == targets[-1]

    eventually(is_logged)


def test_audit_tail_shows_what_happens_as_it_happens(gateway: Running) -> None:
    gateway.cli("tenants", "create", "--id", "before", "--name", "Before")
    with following(gateway, "audit", "tail", "--type", "tenant.*", "--limit", "1") as tail:
        assert [row["tenant_id"] for row in tail.rows(1)] == ["before"]
        for name in ("first", "second"):
            gateway.cli("tenants", "create", "--id", f"tail-{name}", "--name", name)
        assert [row["tenant_id"] for row in tail.rows(2)] == ["tail-first", "tail-second"]
        gateway.cli("tenants", "suspend", "tail-first", "--reason", "unpaid")
        [row] = tail.rows(1)
        assert (row["type"], row["reason"]) == ("tenant.suspended", "unpaid")
        assert tail.interrupt() == (0, "")


def test_requests_tail_shows_those_that_come_and_none_from_before(gateway: Running) -> None:
    send(gateway, *(f"/v1/status?before={n}" for n in range(30)))
    with following(gateway, "requests", "tail", "--limit", "2") as tail:
        assert [row["target"] for row in tail.rows(2)] == [
            "/v1/status?before=28",
            "/v1/status?before=29",
        ]
        for batch in range(3):
            targets = [f"/v1/status?batch={batch}&n={n}" for n in range(4)]
            send(gateway, *targets)
            assert [row["target"] for row in tail.rows(4)] == targets
        assert tail.interrupt() == (0, "")


def test_a_table_that_is_followed_has_one_header(gateway: Running) -> None:
    send(gateway, "/v1/status?table=0")
    arguments = ("requests", "tail", "--limit", "1")
    with following(gateway, *arguments, form="table") as tail:
        assert tail.line().split()[:2] == ["TS", "STATUS"]
        assert "/v1/status?table=0" in tail.line()
        send(gateway, "/v1/status?table=1")
        assert "/v1/status?table=1" in tail.line()
        assert tail.interrupt() == (0, "")


def test_when_nobody_reads_any_more_it_ends_quietly(gateway: Running) -> None:
    send(gateway, "/v1/status?head=0")
    arguments = ("requests", "tail", "--limit", "1", "--follow", "--output", "json")
    config = str(gateway.folder / "config.yaml")
    tail = " ".join((*TOLLHOUSE, *arguments, "--config", config))
    with subprocess.Popen(
        ["sh", "-c", f"{{ {tail}; echo \"status $?\" >&2; }} | head -n 1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as shell:  # fmt: skip
        assert shell.stdout is not None
        assert "head=0" in shell.stdout.readline()
        send(gateway, "/v1/status?head=1")
        send(gateway, "/v1/status?head=2")
        _, said = shell.communicate(timeout=30)
    assert said == "status 0\n"
