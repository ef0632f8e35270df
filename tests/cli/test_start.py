"""What a start imports: a gateway brings no library of what is not configured, and clients wait for few of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.process import ROOT, write_config

NOT_CONFIGURED = {
    "aiosmtplib",  # alerts by e-mail
    "asyncpg",  # a store that gateways share
    "maxminddb",  # countries
    "opentelemetry",  # traces
    "prometheus_client",  # nobody has asked for metrics yet
    "redis",  # limits that gateways share
    "gateway.alerts.channels.webhook",
    "gateway.assembly.workforce",
    "gateway.cli.demo",
    "gateway.control.supervisor",
    "gateway.demo",
    "gateway.limiters.redis",
    "gateway.stores.postgres",
    "gateway.upstreams.probes",
}
"""What the shipped configuration has no use for."""

FOR_OPERATORS = {"aiohttp", "gateway.admin"}
"""What no client has to wait for."""

READ_BY_SUPERVISOR = {"ruamel", "cryptography", "gateway.keyring", "gateway.config.load"}
"""What a worker does without: it is handed the configuration, and changes no key."""

CLIENTS_WAIT_FOR_MAX = 850
OF_A_GATEWAY_MAX = 1_050
OF_A_WORKER_MAX = 650
"""Most modules, of Python's own library as well: a tenth more than there are."""


def imported(*modules: str) -> list[str]:
    """Return what a fresh interpreter holds after it imported `modules`."""
    code = f"import json, sys, {', '.join(modules)}\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    found: list[str] = json.loads(done.stdout)
    return found


def among(names: Sequence[str], parts: set[str]) -> list[str]:
    return [name for name in names if any(f"{name}.".startswith(f"{part}.") for part in parts)]


def test_clients_wait_for_nothing_that_only_operators_reach_or_that_is_not_configured() -> None:
    names = imported("gateway.cli.run", "gateway.assembly.alone")
    assert among(names, NOT_CONFIGURED | FOR_OPERATORS) == []
    assert len(names) < CLIENTS_WAIT_FOR_MAX


def test_a_worker_brings_nothing_that_only_its_supervisor_needs() -> None:
    names = imported("gateway.assembly.worker_process", "gateway.assembly.worker")
    assert among(names, NOT_CONFIGURED - {"gateway.control.supervisor"} | FOR_OPERATORS) == []
    assert among(names, READ_BY_SUPERVISOR) == []
    assert len(names) < OF_A_WORKER_MAX


def test_a_worker_is_deaf_to_the_signals_of_its_supervisor_before_it_imports_much() -> None:
    assert (
        among(imported("gateway.assembly.worker_process"), {"asyncio", "pydantic", "uvloop"}) == []
    )


RUN = """
import json, sys
from gateway.cli.main import main
status = main(sys.argv[1:])
print(json.dumps([*sys.modules]))
sys.exit(status)
"""


def test_a_gateway_that_has_served_has_imported_nothing_that_is_not_configured(
    tmp_path: Path,
) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9")
    command = [sys.executable, "-c", RUN, "run", "--config", str(config)]
    with (
        notified(tmp_path) as (notice, environ),
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        try:
            assert b"READY=1" in notice.recv(4096)
            process.send_signal(signal.SIGTERM)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    names = json.loads(told.splitlines()[-1])
    assert among(names, FOR_OPERATORS)
    assert among(names, NOT_CONFIGURED) == []
    assert len(names) < OF_A_GATEWAY_MAX


@contextmanager
def notified(folder: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """Hold a socket that a gateway with this environment tells when it is ready, as it tells systemd."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)
        yield sock, {"NOTIFY_SOCKET": str(path)}


@pytest.mark.parametrize("part", sorted(NOT_CONFIGURED | FOR_OPERATORS | READ_BY_SUPERVISOR))
def test_what_must_not_be_imported_is_there_to_be_imported(part: str) -> None:
    """A name that nobody could import would forbid nothing."""
    assert find_spec(part) is not None
