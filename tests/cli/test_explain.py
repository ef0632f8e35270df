from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.cli.main import main

TOLD: dict[str, Any] = {
    "verdict": "refuse",
    "reason": "ip_not_allowed",
    "status": 403,
    "generation": 1,
    "steps": [
        {"step": "key", "result": "passed", "facts": {"key_id": "key_a", "state": "", "n": 0}},
        {
            "step": "addresses",
            "result": "refused",
            "facts": {"rules": [{"rule": "key_ip", "is_allowed": False, "network": None}]},
        },
    ],
    "shadow": [
        {"rule": "limit", "reason": "rate_limited", "policy": "trial/minute"},
        {"rule": "scope", "reason": "insufficient_scope", "policy": None},
    ],
    "headers": [["X-A", "1"]],
    "body": '{"a":1}',
}
TESTED: dict[str, Any] = {
    "tested": {"address": "192.0.2.1", "derivation": "given", "is_trusted_peer": False},
    "is_allowed": False,
    "rules": [{"rule": "key_ip", "mode": "enforce", "is_allowed": False, "network": None}],
    "caller": {"address": "", "derivation": "", "is_trusted_peer": False},
    "preview": {
        "since": "2026-01-01T00:00:00Z",
        "addresses": 2,
        "networks": 1,
        "is_complete": False,
        "would_block": [{"client_address": "192.0.2.1", "requests": 2, "last_seen": "now"}],
        "warnings": ["1 addresses that came lately would be refused"],
    },
}
REPORT: dict[str, Any] = {
    "since": "2026-01-01T00:00:00Z",
    "findings": 1,
    "is_complete": False,
    "data": [{"rule": "key_ip", "reason": "ip_not_allowed", "key_id": "key_a", "requests": 3}],
}


@contextmanager
def answering(path: Path, asked: list[Any], answers: dict[str, Any]) -> Iterator[str]:
    """Answer what a gateway would, and keep what was asked."""

    is_ready, stops = threading.Event(), []

    async def handler(request: web.Request) -> web.Response:
        asked.append(await request.json() if request.can_read_body else dict(request.query))
        return web.json_response(answers[request.path])

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        is_ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    is_ready.wait(10)
    try:
        yield f"unix:{path}"
    finally:
        stops[0]()
        thread.join(10)


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def address(tmp_path: Path, asked: list[Any]) -> Iterator[str]:
    answers = {
        "/admin/v1/explain": TOLD,
        "/admin/v1/ip-test": TESTED,
        "/admin/v1/reports/would-block": REPORT,
    }
    with answering(tmp_path / "a.sock", asked, answers) as where:
        yield where


def test_a_trace_is_laid_out_for_a_person(
    address: str, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--key-id", "key_a", "--ip", "192.0.2.1", "--header", "X-A: 1", "--header", "X-A:2"]
    assert main(["explain", "GET", "/v1", *options, "--admin", address, "--output", "table"]) == 0
    assert asked == [
        {
            "method": "GET",
            "url": "/v1",
            "key_id": "key_a",
            "client_address": "192.0.2.1",
            "headers": {"X-A": ["1", "2"]},
        }
    ]
    assert capsys.readouterr().out.splitlines() == [
        "STEP       RESULT   FACTS",
        "key        passed   key_id=key_a n=0",
        "addresses  refused  rules=[rule=key_ip is_allowed=no]",
        "",
        "in shadow mode: limit of trial/minute would refuse (rate_limited)",
        "in shadow mode: scope would refuse (insufficient_scope)",
        "refuse: 403 (ip_not_allowed)",
        "  X-A: 1",
        '  {"a":1}',
    ]


def test_a_program_reads_the_trace_as_json(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "GET", "/v1", "--admin", address, "--output", "json"]) == 0
    assert '"verdict": "refuse"' in capsys.readouterr().out


def test_a_header_without_a_colon_is_wrong_usage(address: str) -> None:
    assert main(["explain", "GET", "/", "--header", "x", "--admin", address]) == 2


def test_an_address_is_tested(
    address: str, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ip-test", "192.0.2.1", "--key-id", "key_a", "--allow", "192.0.2.0/24"]
    assert main([*command, "--admin", address, "--output", "table"]) == 0
    assert (asked[0]["address"], asked[0]["allow"]) == ("192.0.2.1", ["192.0.2.0/24"])
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "192.0.2.1 is refused: given"
    assert "1 addresses" in err
    assert "more in the request log" in err
    assert main([*command, "--admin", address, "--output", "json"]) == 0


def test_a_report_is_listed(
    address: str, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["report", "would-block", "--since", "7d", "--route", "jobs", "--admin", address]
    assert main([*command, "--output", "table"]) == 0
    assert asked == [{"since": "7d", "route": "jobs"}]
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:3] == ["key_ip", "ip_not_allowed", "key_a"]
    assert "--since" in err
    assert main([*command, "--output", "json"]) == 0


def test_a_forwarded_request_is_said_to_be_the_upstreams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = TOLD | {"verdict": "forward", "status": None, "reason": None, "shadow": [], "body": ""}
    with answering(tmp_path / "b.sock", [], {"/admin/v1/explain": told}) as where:
        assert main(["explain", "GET", "/v1", "--admin", where, "--output", "table"]) == 0
    assert "forward: the upstream answers" in capsys.readouterr().out
