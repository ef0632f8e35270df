"""A small load: what is counted, and what its exit status says."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.cli.bench import Latencies, Measured, measure, show
from gateway.cli.main import main
from gateway.cli.output import Printer
from gateway.cli.statuses import DONE, REFUSED, UNREACHABLE, WRONG_USAGE
from tests.wire import until


class Backend:
    """Answers, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.keys: set[str] = set()
        self.peers: set[Any] = set()
        self.url = ""
        self.runner: web.AppRunner

    async def gone(self) -> str:
        """Stop, and return where it was."""
        await self.runner.cleanup()
        return self.url

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.keys.add(request.headers.get("Authorization", ""))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        return web.Response(status=429 if self.asked % 2 else 200, text="x" * 1000)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    app = web.Application()
    app.router.add_get("/a", backend.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend.url = f"http://127.0.0.1:{runner.addresses[0][1]}/a"
    backend.runner = runner
    yield backend
    await runner.cleanup()


async def nothing() -> None:
    """Do not warm up."""


async def test_each_answer_is_counted_by_its_status_over_connections_that_stay(
    backend: Backend,
) -> None:
    found = Measured()

    async def count() -> None:
        await until(lambda: found.requests >= 20 and len(backend.peers) == 3)

    await measure(backend.url, {"Authorization": "Bearer k"}, 3, found, warm=nothing, count=count)
    assert set(found.statuses) == {200, 429}
    assert 20 <= found.requests <= backend.asked
    assert backend.keys == {"Bearer k"}
    assert len(backend.peers) == 3
    assert not found.errors
    assert 0 < found.latencies.quantile(0.5) <= found.latencies.longest


async def test_what_comes_before_the_counting_does_not_count(backend: Backend) -> None:
    found = Measured()

    async def warm() -> None:
        await until(lambda: backend.asked >= 10)
        assert found.requests == 0

    await measure(backend.url, {}, 1, found, warm=warm, count=nothing)
    assert found.requests == 0


async def test_requests_without_an_answer_are_told_by_what_went_wrong(backend: Backend) -> None:
    found = Measured()
    url = await backend.gone()

    async def count() -> None:
        await until(lambda: found.errors.total() >= 4)

    await measure(url, {}, 2, found, warm=nothing, count=count)
    assert found.requests == 0
    assert set(found.errors) == {"ClientConnectorError"}


def test_quantiles_are_right_within_a_step() -> None:
    latencies = Latencies()
    assert latencies.quantile(0.5) == 0.0
    for number in range(1, 1001):
        latencies.add(number / 1000)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        assert share <= latencies.quantile(share) + 1e-9
        assert latencies.quantile(share) <= share * 1.021
    assert latencies.longest == 1.0
    latencies.add(0.0)


def shown(found: Measured) -> tuple[int, Any, str]:
    out, err = io.StringIO(), io.StringIO()
    found.seconds = 2.0
    status = show(found, 4, Printer("json", out, err))
    return status, json.loads(out.getvalue()), err.getvalue()


def test_what_was_not_answered_well_is_told_and_exits_with_1() -> None:
    good = Measured()
    good.statuses[200] = 10
    status, told, err = shown(good)
    assert (status, told["requests_per_second"], err) == (DONE, 5.0, "")
    good.statuses[403] = 2
    status, told, err = shown(good)
    assert (status, told["statuses"]) == (DONE, {"200": 10, "403": 2})
    assert "2 answers were not 200" in err
    good.statuses[502] = 1
    assert shown(good)[0] == REFUSED
    broken = Measured()
    broken.statuses[200] = 1
    broken.errors["TimeoutError"] = 1
    assert shown(broken)[0] == REFUSED
    assert shown(Measured())[0] == UNREACHABLE


def test_a_client_that_measured_itself_says_so() -> None:
    found = Measured(client_cpu=0.97)
    found.statuses[200] = 1
    assert "this client was at work for 97%" in shown(found)[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("ftp://x",),
        ("http://x", "--key-file", "/nowhere/at/all"),
        ("http://x", "--connections", "1001"),
        ("http://x", "--seconds", "0"),
    ],
)
def test_what_cannot_be_asked_for_is_wrong_usage(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: Any = main(["bench", *arguments])
    except SystemExit as error:
        status = error.code
    assert status == WRONG_USAGE
    assert capsys.readouterr().out == ""


def test_a_key_that_cannot_be_read_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"sk_live_\xff")
    assert main(["bench", "http://x", "--key-file", str(path)]) == WRONG_USAGE
    assert "sk_live" not in capsys.readouterr().err
