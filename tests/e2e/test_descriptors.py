"""A process that may open few files says so, and serves as many clients as it can."""

from __future__ import annotations

import re
import socket
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.process import running


def metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found
    return float(found[1])


def get(address: str) -> bytes:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        while data := sock.recv(65536):
            received += data
        return received


def test_process_with_few_descriptors_warns_and_outlives_a_flood(tmp_path: Path) -> None:
    with running(tmp_path, "http://127.0.0.1:9", open_files=400) as gateway, ExitStack() as stack:
        told = re.search(
            r"open files is 400, .*: connections_max is (\d+);", gateway.log.read_text()
        )
        assert told
        fitting = int(told[1])
        assert 0 < fitting < 200
        assert metric(gateway.metrics, "tollhouse_connections_max") == fitting
        host, port = gateway.public.split(":")
        for _ in range(600):
            stack.enter_context(socket.create_connection((host, int(port)), 5))
        assert metric(gateway.metrics, "tollhouse_connections") <= fitting
        for _ in range(100):  # whoever sends nothing makes room after a moment
            received = b""
            with suppress(ConnectionError):
                received = get(gateway.public)
            if received:
                break
            time.sleep(0.05)
        assert received.startswith(b"HTTP/1.1 404")
        refused = 'tollhouse_connections_refused_total{cause="connections_max"}'
        assert metric(gateway.metrics, refused) >= 600 - fitting
        assert "Too many open files" not in gateway.log.read_text()
        assert gateway.stop() == 0


def test_process_without_descriptors_for_clients_does_not_start(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="limit of open files leaves none for clients"),
        running(tmp_path, "http://127.0.0.1:9", open_files=190),
    ):
        pass
