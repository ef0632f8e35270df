"""One-time links: what whoever has one gets, and what nobody else does."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.admin.app import create_link_app
from gateway.admin.deliveries import link_under
from gateway.domain.tenants import Tenant
from gateway.ports import StoreUnavailable
from tests.admin.life import Api, serving
from tests.key_samples import a_tenant
from tests.keyring.house import House

JSON = {"Accept": "application/json"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant(export_name="ACME_KEY"))
    return house


@pytest.fixture
async def call(house: House, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(house, tmp_path, None, base_url="") as call:
        yield call


async def linked(call: Api, deliver_in: str = "1h") -> tuple[str, Any]:
    """Return the path of a link, and the key behind it."""
    key = (await call.create())["key"]
    body = {"deliver_in": deliver_in, "grace": "1d"}
    begun = await call("POST", f"/keys/{key['key_id']}:rotate", body, expect=201)
    return begun["delivery_url"], begun["new_key"]


async def test_reading_a_link_shows_a_button_and_takes_nothing(call: Api) -> None:
    """HT-3: chat programs read every link."""
    link, _ = await linked(call)
    for method in ("GET", "HEAD", "GET"):
        status, headers, text = await call.raw(method, link)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in text
    status, _, _ = await call.raw("POST", link, headers=JSON)
    assert status == 200


async def test_reading_a_link_that_gives_nothing_says_so_whatever_the_cause(
    call: Api, house: House
) -> None:
    """HT-3: nobody waits for a key behind a button that gives none, and why it gives none is not told."""
    used, _ = await linked(call)
    expired, _ = await linked(call, deliver_in="1m")
    revoked, key = await linked(call)
    await call.raw("POST", used)
    await call("POST", f"/keys/{key['key_id']}:revoke", {"reason": "x"})
    house.clock.advance(61)
    links = (used, expired, revoked, "/delivery/thd_unknown", f"/delivery/{'x' * 200}")
    read = [await call.raw("GET", link, headers=BROWSER) for link in links]
    pressed = await call.raw("POST", used, headers=BROWSER)
    assert {(status, text) for status, _, text in read} == {(404, pressed[2])}
    assert "<form" not in pressed[2]
    for _, headers, _ in read:
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"


async def test_reading_links_changes_nothing_and_is_told_to_nobody(call: Api, house: House) -> None:
    link, _ = await linked(call)
    revision, told = await house.store.revision(), len(house.changes)
    for _ in range(3):
        await call.raw("GET", link)
        await call.raw("GET", "/delivery/thd_unknown")
    assert (await house.store.revision(), len(house.changes)) == (revision, told)


async def test_pressing_the_button_shows_the_secret_and_a_line_for_the_shell(
    call: Api, house: House
) -> None:
    """HP-18."""
    link, key = await linked(call)
    status, _, text = await call.raw("POST", link, headers=BROWSER)
    assert status == 200
    secret, line = (html.unescape(each) for each in re.findall(r"<textarea.*?>(.*?)<", text))
    assert secret.startswith("sk_live_")
    assert line == f"export ACME_KEY={secret}"
    found = await house.keyring.find_key(secret.encode())
    assert found is not None
    assert found.key_id == key["key_id"]


async def test_a_program_is_given_json(call: Api) -> None:
    link, key = await linked(call)
    async with call.session.post(link, headers=JSON) as response:
        told = await response.json()
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    secret = told.pop("secret")
    assert secret.startswith("sk_live_")
    assert told == {"key_id": key["key_id"], "name": "CI", "export_name": "ACME_KEY"}


async def test_a_link_gives_once_and_unknown_used_and_expired_ones_are_answered_alike(
    call: Api, house: House
) -> None:
    used, _ = await linked(call)
    expired, _ = await linked(call, deliver_in="1m")
    await call.raw("POST", used)
    house.clock.advance(61)
    for headers in (BROWSER, JSON):
        answers = []
        for link in (used, expired, "/delivery/thd_unknown", "/delivery/%22%3E%3Cscript%3E"):
            status, fields, text = await call.raw("POST", link, headers=headers)
            assert status == 404
            assert fields["Cache-Control"] == "no-store"
            answers.append(re.sub(r"req_[0-9a-f]+", "", text))
        assert len(set(answers)) == 1


async def test_pages_fetch_nothing_run_nothing_and_are_framed_by_nobody(call: Api) -> None:
    link, _ = await linked(call)
    for method, path in (("GET", link), ("POST", link), ("POST", link)):
        _, headers, text = await call.raw(method, path, headers=BROWSER)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<script|<img|<link|href=|src=|https?://", text)


async def test_neither_link_nor_secret_reaches_a_log(
    call: Api, caplog: pytest.LogCaptureFixture, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D8."""
    caplog.set_level(logging.DEBUG)
    link, _ = await linked(call)
    token = link.rpartition("/")[2]
    async with call.session.post(link, headers=JSON) as response:
        secret = (await response.json())["secret"]
    await call.raw("POST", link)
    await call.raw("PUT", link)
    assert token not in caplog.text
    assert secret[12:-4] not in caplog.text


async def test_a_secret_is_not_lost_because_the_name_of_its_variable_is(
    house: House, tmp_path: Path
) -> None:
    class Forgetful:
        async def get(self, _: str) -> Tenant:
            raise StoreUnavailable("down")

    async with serving(house, tmp_path, None, base_url="") as call:
        link, _ = await linked(call)
    from gateway.admin.deliveries import LinkRoutes, create_delivery_app

    app = create_delivery_app(LinkRoutes(lambda: house.keyring.deliveries, Forgetful))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "links.sock")).start()
    connector = aiohttp.UnixConnector(str(tmp_path / "links.sock"))
    async with (
        aiohttp.ClientSession("http://links", connector=connector) as session,
        session.post(link, headers=JSON) as response,
    ):
        told = await response.json()
    await runner.cleanup()
    assert told["export_name"] == "SK_API_KEY"
    assert told["secret"].startswith("sk_live_")


async def test_the_listener_of_links_serves_nothing_else(house: House, tmp_path: Path) -> None:
    async with serving(house, tmp_path, None, base_url="") as call:
        link, _ = await linked(call)
    runner = web.AppRunner(create_link_app(lambda: house.keyring))
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "links.sock")).start()
    connector = aiohttp.UnixConnector(str(tmp_path / "links.sock"))
    async with aiohttp.ClientSession("http://links", connector=connector) as session:
        for path in ("/", "/admin/v1/keys", "/admin/v1/whoami", "/admin/v1/openapi.json"):
            async with session.get(path) as response:
                assert response.status == 404
        async with session.post(link, headers=JSON) as response:
            assert response.status == 200
    await runner.cleanup()


async def test_links_are_open_to_everybody_and_the_list_of_them_is_not(
    house: House, tmp_path: Path
) -> None:
    from gateway.admin.app import create_admin_app

    async with serving(house, tmp_path, None, base_url="") as call:
        link, _ = await linked(call)
    app = create_admin_app(lambda: house.keyring, token=lambda: "x" * 40)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(base) as session:
        async with session.get("/admin/v1/deliveries") as response:
            assert response.status == 401
        async with session.post(link, headers=JSON) as response:
            assert response.status == 200
    await runner.cleanup()


async def test_deliveries_are_listed_with_their_state(call: Api, house: House) -> None:
    link, key = await linked(call)
    other, _ = await linked(call)
    await call.raw("POST", link)
    listed = (await call("GET", "/deliveries"))["data"]
    assert sorted(each["state"] for each in listed) == ["open", "redeemed"]
    [mine] = (await call("GET", "/deliveries", params={"key_id": key["key_id"]}))["data"]
    assert mine["redeemed_at"] is not None
    house.clock.advance(3601)
    listed = (await call("GET", "/deliveries"))["data"]
    assert sorted(each["state"] for each in listed) == ["expired", "redeemed"]
    assert other.rpartition("/")[2] not in repr(listed)
    assert "digest" not in repr(listed)


def test_a_link_is_absolute_where_its_beginning_is_known() -> None:
    assert link_under("thd_a", "https://keys.test/") == ("https://keys.test/delivery/thd_a", ())


def test_a_link_that_is_a_path_alone_says_what_is_missing() -> None:
    url, [warning] = link_under("thd_a")
    assert url == "/delivery/thd_a"
    assert warning.startswith("the link leads to the admin listener")
    url, [warning] = link_under("thd_a", has_listener=True)
    assert url == "/delivery/thd_a"
    assert warning.startswith("nobody said how your partners reach listeners.delivery")
