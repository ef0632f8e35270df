"""Signing in and out, what a cookie is good for, and how the files are sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from gateway.admin.auth import FAILURES_MAX
from gateway.domain.admin_tokens import Role, minted
from gateway.domain.change import ChangeType
from tests.admin.caller import CREATE, TOKEN
from tests.admin.dashboard.visitor import Settings, Visitor, a_token, visiting
from tests.key_samples import a_key, a_tenant, an_order
from tests.keyring.house import House

WRONG = minted("0" * 43)
REASON = {"reason": "because"}


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(a_key())
    return house


@pytest.fixture
async def visitor(house: House) -> AsyncIterator[Visitor]:
    async with visiting(house) as visitor:
        yield visitor


# Signing in


async def test_a_token_opens_a_session_that_may_do_what_the_token_may(
    house: House, visitor: Visitor
) -> None:
    token_id, secret = await a_token(house, Role.OPERATOR)
    shown = await visitor.sign_in(secret)
    assert (shown["name"], shown["role"], shown["token_id"]) == ("a operator", "operator", token_id)
    assert shown["rights"] == ["read", "audit", "operate"]
    assert await visitor("GET", "/dashboard/session") == {"session": shown}
    assert (await visitor("GET", "/admin/v1/whoami"))["token_id"] == token_id
    await visitor("POST", "/admin/v1/keys", CREATE, expect=201)
    await visitor("POST", "/admin/v1/tenants", {"name": "B"}, expect=403)
    assert house.changes[-1].actor.name == token_id


async def test_the_token_stays_in_the_body_of_one_request(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house)
    shown = await visitor.sign_in(secret)
    assert secret not in repr((shown, visitor.cookies, dict(visitor.headers), house.changes))
    assert shown["csrf"] not in visitor.cookies.values()


async def test_a_wrong_token_opens_nothing_and_is_told(house: House, visitor: Visitor) -> None:
    await visitor.sign_in(WRONG, expect=401)
    assert visitor.cookies == {}
    assert await visitor("GET", "/dashboard/session") == {"session": None}
    assert house.events == [ChangeType.ADMIN_LOGIN_FAILED]


async def test_every_sign_in_is_told_with_where_it_came_from(
    house: House, visitor: Visitor
) -> None:
    token_id, secret = await a_token(house)
    for _ in range(2):
        await visitor.sign_in(secret)
    assert house.events == [ChangeType.ADMIN_LOGIN_SUCCEEDED] * 2
    change = house.changes[-1]
    assert (change.subject_id, change.actor.address) == (token_id, "127.0.0.1")
    assert change.reason == "signed in to the dashboard"


async def test_an_address_that_keeps_failing_has_to_wait(house: House, visitor: Visitor) -> None:
    """The throttle of bearer tokens: who fails here has to wait there, and the other way round."""
    _, secret = await a_token(house)
    for _ in range(FAILURES_MAX):
        await visitor.sign_in(WRONG, expect=401)
    await visitor.sign_in(secret, expect=429)
    assert visitor.headers["Retry-After"] == "6"
    visitor.more = {"Authorization": f"Bearer {secret}"}
    await visitor("GET", "/admin/v1/whoami", expect=429)
    visitor.more = {}
    house.clock.advance(6)
    await visitor.sign_in(secret)


async def test_nobody_is_signed_in_by_another_site(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house)
    visitor.origin, visitor.site = "http://evil.example", "cross-site"
    await visitor.sign_in(secret, expect=403)
    assert house.changes == []


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": "x" * 513}, {"token": 1}])
async def test_what_is_no_token_is_refused_without_repeating_it(
    visitor: Visitor, body: dict[str, object]
) -> None:
    answer = await visitor("POST", "/dashboard/session", body, expect=422)
    assert [each["pointer"] for each in answer["errors"]] == ["/token"]
    assert "xxx" not in repr(answer)


async def test_the_token_of_the_configuration_signs_in_until_it_is_another(house: House) -> None:
    token = [TOKEN]
    async with visiting(house, token=TOKEN) as visitor:
        assert (await visitor.sign_in(token[0]))["token_id"] is None
        assert (await visitor("GET", "/admin/v1/whoami"))["name"] == "token"


async def test_a_second_sign_in_ends_the_first_session(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    old = visitor.cookies["tollhouse_session"]
    await visitor.sign_in(secret)
    assert visitor.cookies["tollhouse_session"] != old
    visitor.forget()
    visitor.more = {"Cookie": f"tollhouse_session={old}"}
    await visitor("GET", "/admin/v1/whoami", expect=401)


# How a session ends


async def test_a_session_dies_with_its_token(house: House, visitor: Visitor) -> None:
    token_id, secret = await a_token(house)
    await visitor.sign_in(secret)
    await visitor("GET", "/admin/v1/whoami")
    await house.keyring.admin_tokens.revoke(token_id, an_order("left"))
    assert await visitor("GET", "/dashboard/session") == {"session": None}
    await visitor("GET", "/admin/v1/whoami", expect=401)


async def test_a_session_ends_when_its_token_expires(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house, expires_at=house.clock.now() + 60)
    await visitor.sign_in(secret)
    house.clock.advance(60)
    await visitor("GET", "/admin/v1/whoami", expect=401)


async def test_a_session_that_nobody_touches_ends_however_often_its_page_refreshes(
    house: House, visitor: Visitor
) -> None:
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    visitor.more = {"X-Refresh": "1"}
    for _ in range(2):
        house.clock.advance(850)
        await visitor("GET", "/admin/v1/keys")
    house.clock.advance(100)
    await visitor("GET", "/admin/v1/keys", expect=401)


async def test_signing_out_ends_the_session_and_takes_the_cookie(
    house: House, visitor: Visitor
) -> None:
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    kept = visitor.cookies["tollhouse_session"]
    await visitor("DELETE", "/dashboard/session")
    assert visitor.cookies == {}
    visitor.more = {"Cookie": f"tollhouse_session={kept}"}
    await visitor("GET", "/admin/v1/whoami", expect=401)


# What a cookie is good for


async def test_a_change_needs_what_only_our_pages_can_read(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    right = visitor.csrf
    for wrong in ("", right[:-1], "x" * len(right), "\udcff"):
        visitor.csrf = wrong
        answer = await visitor("POST", "/admin/v1/keys/key_a:revoke", REASON, expect=403)
        assert "X-CSRF-Token" in answer["detail"]
    visitor.csrf = right
    assert (await visitor("GET", "/admin/v1/keys/key_a"))["state"] == "active"
    await visitor("POST", "/admin/v1/keys/key_a:revoke", REASON)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("http://evil.example", "cross-site"),
        ("http://127.0.0.1:1", "same-site"),
        (None, None),
        ("null", "same-origin"),
    ],
)
async def test_a_change_that_another_page_asks_for_is_refused(
    house: House, visitor: Visitor, origin: str | None, site: str | None
) -> None:
    """Also with the cookie and the field: another port of this host is another page."""
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    visitor.origin, visitor.site = origin, site
    await visitor("DELETE", "/admin/v1/keys/key_a", REASON, expect=403)
    await visitor("DELETE", "/dashboard/session", expect=403)
    visitor.origin, visitor.site = visitor.base, "same-origin"
    assert (await visitor("GET", "/admin/v1/keys/key_a"))["state"] == "active"


async def test_another_site_cannot_read_with_the_cookie(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    for site in ("cross-site", "same-site"):
        visitor.site = site
        await visitor("GET", "/admin/v1/keys", expect=403)
        await visitor("GET", "/dashboard/session", expect=403)


async def test_a_token_in_the_field_needs_neither_and_counts_before_the_cookie(
    house: House, visitor: Visitor
) -> None:
    """Bearer use of the API stays as it is, whatever else comes along."""
    _, admin = await a_token(house)
    _, viewer = await a_token(house, Role.VIEWER)
    await visitor.sign_in(admin)
    visitor.csrf, visitor.origin, visitor.site = "", "http://evil.example", "cross-site"
    visitor.more = {"Authorization": f"Bearer {viewer}"}
    assert (await visitor("GET", "/admin/v1/whoami"))["role"] == "viewer"
    await visitor("POST", "/admin/v1/keys", CREATE, expect=403)
    visitor.more = {"Authorization": f"Bearer {admin}", "Host": "evil.example"}
    await visitor("POST", "/admin/v1/keys", CREATE, expect=201)


async def test_a_bound_token_reaches_no_further_with_a_cookie(
    house: House, visitor: Visitor
) -> None:
    await house.store.save_tenant(a_tenant("ten_b"))
    await house.store.save_key(a_key("key_b", tenant_id="ten_b"))
    _, secret = await a_token(house, Role.OPERATOR, tenant_id="ten_a")
    assert (await visitor.sign_in(secret))["tenant_id"] == "ten_a"
    found = await visitor("GET", "/admin/v1/keys")
    assert [each["key_id"] for each in found["data"]] == ["key_a"]
    await visitor("GET", "/admin/v1/keys/key_b", expect=404)


async def test_a_name_that_is_not_ours_gets_nothing(house: House, visitor: Visitor) -> None:
    """DNS rebinding: the browser believes that our address belongs to another site."""
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    visitor.more = {"Host": "evil.example:9901"}
    for path in ("/", "/dashboard/", "/dashboard/session", "/admin/v1/keys"):
        await visitor("GET", path, expect=421)
    visitor.origin = "http://evil.example:9901"
    await visitor("POST", "/dashboard/session", {"token": secret}, expect=421)


async def test_a_browser_has_to_sign_in_on_a_unix_socket_too(house: House, tmp_path: Path) -> None:
    """A port that is forwarded to the socket would hand all rights to every page otherwise."""
    _, secret = await a_token(house, Role.VIEWER)
    async with visiting(house, path=tmp_path / "admin.sock") as visitor:
        await visitor("GET", "/admin/v1/keys", expect=401)
        await visitor.sign_in(secret)
        assert (await visitor("GET", "/admin/v1/whoami"))["role"] == "viewer"
        visitor.forget()
        visitor.site = None
        assert (await visitor("GET", "/admin/v1/whoami"))["role"] == "admin"
        visitor.more = {"Host": "evil.example:9901"}
        await visitor("GET", "/admin/v1/whoami", expect=421)


# The files

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.mark.parametrize(
    "fields",
    [b"Host: localhost\r\nCookie: tollhouse_session=\xff\xfe", b"Host: \xff", b"Host: [::1"],
    ids=["cookie", "host", "bracket"],
)
async def test_fields_that_are_no_text_break_nothing(
    visitor: Visitor, fields: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    where = urlsplit(visitor.base)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(b"GET /dashboard/session HTTP/1.1\r\n" + fields + b"\r\nConnection: close\r\n\r\n")
    answered = await reader.read()
    writer.close()
    assert answered.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 421 "))
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_page_whose_address_is_none_is_not_ours(visitor: Visitor) -> None:
    visitor.origin = "http://[::1"
    assert (await visitor.raw("POST", "/dashboard/session", {"token": "x"}))[0] == 403


async def test_the_root_leads_to_the_dashboard(visitor: Visitor) -> None:
    for path in ("/", "/dashboard"):
        status, _ = await visitor.raw("GET", path)
        assert (status, visitor.headers["Location"]) == (302, "/dashboard/")


async def test_every_page_is_the_one_page_under_a_strict_policy(visitor: Visitor) -> None:
    pages = set()
    for path in ("/dashboard/", "/dashboard/keys", "/dashboard/settings/security/ip-whitelist"):
        status, text = await visitor.raw("GET", path)
        assert status == 200
        pages.add(text)
        headers = visitor.headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-cache"
    assert len(pages) == 1


async def test_files_are_kept_for_ever_and_not_sent_twice(visitor: Visitor) -> None:
    _, page = await visitor.raw("GET", "/dashboard/")
    path = page.split('type="module" src="')[1].split('"')[0]
    status, _ = await visitor.raw("GET", path)
    headers = visitor.headers
    assert status == 200
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Vary"] == "Accept-Encoding"
    visitor.more = {"If-None-Match": headers["ETag"]}
    assert (await visitor.raw("GET", path))[0] == 304
    visitor.more = {"Accept-Encoding": "identity"}
    await visitor.raw("GET", path)
    assert "Content-Encoding" not in visitor.headers
    version = path.split("/")[3]
    for wrong in (
        path.replace(version, "0" * 16),
        path.replace("main.js", "none.js"),
        path.replace("js/main.js", "../pages.py"),
    ):
        assert (await visitor.raw("GET", wrong))[0] in (200, 404)
        assert "javascript" not in visitor.headers["Content-Type"]


async def test_answers_of_the_api_are_never_kept(house: House, visitor: Visitor) -> None:
    _, secret = await a_token(house)
    await visitor.sign_in(secret)
    for path in ("/dashboard/session", "/admin/v1/keys"):
        await visitor("GET", path)
        assert visitor.headers["Cache-Control"] == "no-store"
        assert visitor.headers["X-Content-Type-Options"] == "nosniff"


async def test_it_can_be_switched_off_while_it_runs(house: House) -> None:
    settings = Settings()
    _, secret = await a_token(house)
    async with visiting(house, settings) as visitor:
        await visitor.sign_in(secret)
        settings.dashboard = Settings(enabled=False).dashboard
        for path in ("/", "/dashboard/", "/dashboard/keys"):
            await visitor("GET", path, expect=404)
        await visitor("POST", "/dashboard/session", {"token": secret}, expect=404)
        await visitor("GET", "/admin/v1/keys", expect=401)
        visitor.more = {"Authorization": f"Bearer {secret}"}
        await visitor("GET", "/admin/v1/keys")


async def test_a_name_in_the_settings_leads_here(house: House) -> None:
    async with visiting(house, Settings(hosts=("gate.example",))) as visitor:
        visitor.more = {"Host": "gate.example"}
        assert (await visitor.raw("GET", "/dashboard/"))[0] == 200


async def test_behind_a_proxy_that_speaks_tls_the_cookie_stays_within_tls(house: House) -> None:
    _, secret = await a_token(house)
    async with visiting(house, Settings(hosts=("gate.example",))) as visitor:
        visitor.more, visitor.origin = {"Host": "gate.example"}, "https://gate.example"
        await visitor.sign_in(secret)
        written = visitor.headers["Set-Cookie"]
        assert written.startswith("__Host-tollhouse_session=")
        assert "Secure" in written


async def test_without_a_gateway_there_is_no_dashboard(house: House) -> None:
    """`--offline` serves the API to the command line in its own process, and nothing else."""
    from tests.admin.caller import serving

    async with serving(house, None, TOKEN) as call, aiohttp.ClientSession(call.base) as session:
        for path in ("/", "/dashboard/", "/dashboard/session"):
            async with session.get(path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
                assert response.status == 404


async def test_a_body_that_breaks_off_or_cannot_be_unpacked_is_refused(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    where = urlsplit(visitor.base)
    for body in (
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n",
    ):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = f"POST /dashboard/session HTTP/1.1\r\nHost: {where.netloc}\r\nOrigin: {visitor.base}\r\n"
        writer.write(
            head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n" + body
        )
        assert (await reader.read())[9:13] in (b"400 ", b"415 ")
        writer.close()
    assert "gateway.admin.problems" not in {each.name for each in caplog.records}
