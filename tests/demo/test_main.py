"""The command of the demo backend listens where it is told to, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import requests

from bench.machine import free_port
from tests.e2e.waiting import eventually


@contextmanager
def _demo(*arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "gateway.demo", *arguments])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _serves(host: str, port: int) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"http://{host}:{port}/v1/status", timeout=5).status_code == 200
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "host", "other"),
    [
        ([], "127.0.0.1", "127.0.0.2"),
        (["--host", "127.0.0.2"], "127.0.0.2", "127.0.0.1"),
    ],
)
def test_it_listens_on_one_address(arguments: list[str], host: str, other: str) -> None:
    port = free_port()
    with _demo(*arguments, "--port", str(port)):
        eventually(lambda: _serves(host, port))
        assert not _serves(other, port)
