"""A gateway under a service manager: told when it serves, and replaced without refusing anybody."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.process import ROOT, TOLLHOUSE, write_config
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.slow


class Manager:
    """As much of systemd as a service with `Type=notify` and a socket unit needs."""

    def __init__(self, folder: Path, upstream: str, workers: int) -> None:
        self.config = write_config(folder, upstream)
        self.config.write_text(f"{self.config.read_text()}\nworkers: {workers}\n")
        self._log = (folder / "gateway.log").open("a")
        self.public = socket.create_server(("127.0.0.1", 0))
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.settimeout(30)
        self.notified.bind(str(folder / "notify.sock"))
        self._folder = folder

    @property
    def port(self) -> int:
        return int(self.public.getsockname()[1])

    def start(self) -> subprocess.Popen[bytes]:
        """Start the gateway with the socket as its descriptor 3, and wait until it says that it is ready."""
        environ = os.environ | {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "public",
            "NOTIFY_SOCKET": str(self._folder / "notify.sock"),
        }
        # The shell makes known the pid that the gateway takes over.
        command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *TOLLHOUSE, "run"]
        process = subprocess.Popen(
            [*command, "--config", str(self.config)],
            cwd=ROOT,
            env=environ,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[3],
            preexec_fn=partial(os.dup2, self.public.fileno(), 3),  # noqa: PLW1509 - no thread runs yet
        )
        assert self.hear().startswith("READY=1\nSTATUS=serving on 127.0.0.1:")
        return process

    def hear(self) -> str:
        return self.notified.recv(1000).decode()

    def close(self) -> None:
        for each in (self.public, self.notified, self._log):
            each.close()


@contextmanager
def managed(folder: Path, upstream: str, workers: int) -> Iterator[Manager]:
    manager = Manager(folder, upstream, workers)
    try:
        yield manager
    finally:
        manager.close()


@dataclass
class Callers:
    """Ask on a new connection each time, from a few threads, until told to stop."""

    port: int
    answers: Counter[str] = field(default_factory=Counter)
    _enough: threading.Event = field(default_factory=threading.Event)

    def ask_until_stopped(self) -> None:
        while not self._enough.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request("GET", "/healthz")
                answer = str(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__
            finally:
                connection.close()
            self.answers[answer] += 1

    def are_served(self) -> None:
        """Wait until some more were answered."""
        before = self.answers.total()
        eventually(lambda: self.answers.total() > before + 30)

    @contextmanager
    def calling(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.ask_until_stopped) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._enough.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_is_replaced_under_load_without_one_failed_request(
    tmp_path: Path, demo_upstream: str, workers: int
) -> None:
    with managed(tmp_path, demo_upstream, workers) as manager:
        process = manager.start()
        callers = Callers(manager.port)
        with callers.calling():
            for _ in range(2):
                callers.are_served()
                process.terminate()
                assert "STOPPING=1" in manager.hear()
                assert process.wait(20) == 0
                process = manager.start()
            callers.are_served()
        process.terminate()
        assert process.wait(20) == 0
        assert callers.answers.keys() == {"404"}, callers.answers  # every one of them was answered
        assert callers.answers["404"] > 60
