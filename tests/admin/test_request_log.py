from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.app import create_admin_app
from gateway.admin.request_log import COLUMNS
from gateway.telemetry.request_log import FileRequestLog
from tests.clock import FakeClock
from tests.keyring.house import House
from tests.telemetry.test_request_log import START, Disk, line

TOKEN = "t" * 40


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path / "requests")
    writer = disk.writer()
    for number in range(5):
        disk.write(
            writer,
            START + number * 60,
            request_id=f"req_{number}",
            key_id="key_a" if number % 2 else "key_b",
            status=403 if number == 3 else 200,
            user_agent="=cmd()" if number == 4 else "curl",
        )
    return disk


async def served(aiohttp_client: Any, log: FileRequestLog) -> Any:
    app = create_admin_app(lambda: House().keyring, token=lambda: TOKEN, request_log=log)
    return await aiohttp_client(app, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture
async def client(disk: Disk, aiohttp_client: Any) -> Any:
    return await served(aiohttp_client, disk.log)


async def asked(client: Any, path: str, status: int = 200) -> Any:
    async with client.get(f"/admin/v1{path}") as response:
        answer = await response.json(content_type=None)
        assert response.status == status, answer
        return answer


async def ids(client: Any, path: str) -> list[str]:
    return [row["request_id"][4:] for row in (await asked(client, path))["data"]]


async def test_requests_are_found_by_key_status_and_time(client: Any) -> None:
    assert await ids(client, "/requests") == ["4", "3", "2", "1", "0"]
    assert await ids(client, "/requests?key_id=key_a") == ["3", "1"]
    assert await ids(client, "/keys/key_a/requests") == ["3", "1"]
    assert await ids(client, "/keys/key_a/requests?status=4xx") == ["3"]
    assert await ids(client, "/requests?request_id=req_2") == ["2"]
    assert await ids(client, "/requests?since=2023-11-14T22:15:00Z") == ["4", "3", "2"]
    assert await ids(client, "/requests?until=2023-11-14T22:15:00Z") == ["1", "0"]


async def test_pages_follow_each_other(client: Any) -> None:
    page = await asked(client, "/requests?limit=2")
    assert page["has_more"]
    assert await ids(client, f"/requests?cursor={page['next_cursor']}") == ["2", "1", "0"]


@pytest.mark.parametrize(
    "query",
    [
        "status=4", "status=abc", "since=x", "format=xml", "limit=0", "nothing=1",
        "format=csv&limit=5",
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(client: Any, query: str) -> None:
    await asked(client, f"/requests?{query}", status=400)


async def test_an_invented_cursor_is_refused(client: Any) -> None:
    answer = await asked(client, "/requests?cursor=invented", status=422)
    assert answer["errors"][0]["pointer"] == "/cursor"


async def test_a_key_in_the_path_is_not_asked_for_twice(client: Any) -> None:
    await asked(client, "/keys/key_a/requests?key_id=key_b", status=400)


async def test_a_csv_holds_everything_and_no_formula(client: Any) -> None:
    async with client.get("/admin/v1/requests?format=csv") as response:
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["X-Request-Id"].startswith("req_")
        assert response.headers["Server"] == "tollhouse"
        rows = [*csv.DictReader(io.StringIO(await response.text()))]
    assert [row["request_id"] for row in rows] == [f"req_{n}" for n in (4, 3, 2, 1, 0)]
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["user_agent"] == "'=cmd()"
    assert rows[0]["reason"] == ""


async def test_a_csv_holds_more_than_a_page(tmp_path: Path, aiohttp_client: Any) -> None:
    disk = Disk(tmp_path / "many")
    disk.clock.wall = START + 2_300
    disk.writer().write([line(START + n, request_id=f"req_{n}") for n in range(2_300)])
    client = await served(aiohttp_client, disk.log)
    async with client.get("/admin/v1/requests?format=csv") as response:
        rows = [*csv.DictReader(io.StringIO(await response.text()))]
    assert [row["request_id"] for row in rows] == [f"req_{n}" for n in range(2_299, -1, -1)]
    pages = [1_000, 1_000, 300]
    cursor = ""
    for size in pages:
        page = await asked(client, f"/requests?limit=1000&cursor={cursor}")
        assert len(page["data"]) == size
        cursor = page["next_cursor"]
    assert cursor is None


async def test_a_log_that_is_off_says_so(aiohttp_client: Any) -> None:
    client = await served(aiohttp_client, FileRequestLog(None, FakeClock()))
    assert "off" in (await asked(client, "/requests", status=409))["detail"]
