"""What a browser says about itself is believed as far as browsers cannot be made to lie."""

from __future__ import annotations

import socket
from typing import Any
from unittest import mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.admin.dashboard import browser
from gateway.admin.problems import BadRequest


def request(
    method: str = "GET",
    *,
    host: str = "127.0.0.1:9901",
    name: Any = ("127.0.0.1", 9901),
    is_tls: bool = False,
    **fields: Any,
) -> web.Request:
    family = socket.AF_UNIX if isinstance(name, str) else socket.AF_INET
    known = {
        "socket": mock.Mock(family=family),
        "sockname": name,
        "peername": ("127.0.0.1", 5),
    }
    transport = mock.Mock()
    transport.get_extra_info.side_effect = lambda key, default=None: known.get(key, default)
    headers = {"Host": host, **{key.replace("_", "-"): value for key, value in fields.items()}}
    protocol = mock.Mock(transport=transport, ssl_context=object() if is_tls else None)
    return make_mocked_request(
        method, "/dashboard/", headers=headers, transport=transport, protocol=protocol
    )


LOOPBACK = [
    "127.0.0.1:9901",
    "localhost:9901",
    "[::1]:9901",
    "127.8.8.8",
    "a.localhost",
    "LOCALHOST",
]
FOREIGN = ["evil.example:9901", "localhost.evil.example", "10.0.0.5:9901", "", "a:b:c", "[::1"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_names_of_loopback_lead_to_a_loopback_address(host: str) -> None:
    browser.require_host(request(host=host), ())


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize(
    "name", [("127.0.0.1", 1), ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0)]
)
def test_no_other_name_leads_to_a_loopback_address(host: str, name: Any) -> None:
    """A web page can give its own name our address: DNS rebinding."""
    with pytest.raises(BadRequest) as caught:
        browser.require_host(request(host=host, name=name), ())
    assert caught.value.status == 421


def test_a_name_that_is_listed_leads_everywhere() -> None:
    for name in (("127.0.0.1", 1), ("10.0.0.5", 1)):
        browser.require_host(request(host="Gate.Example:443", name=name), ("gate.example",))


def test_beyond_loopback_every_name_leads_here_until_some_are_listed() -> None:
    browser.require_host(request(host="any.example", name=("10.0.0.5", 1)), ())
    browser.require_host(request(host="10.0.0.5:9901", name=("10.0.0.5", 1)), ("gate.example",))
    with pytest.raises(BadRequest):
        browser.require_host(request(host="any.example", name=("10.0.0.5", 1)), ("gate.example",))


def test_a_unix_socket_is_reached_by_any_name_without_a_domain() -> None:
    browser.require_host(request(host="admin", name="/run/admin.sock"), ())
    with pytest.raises(BadRequest):
        browser.require_host(request(host="evil.example", name="/run/admin.sock"), ())
    assert browser.is_rebound(request(host="evil.example:9901", name="/run/admin.sock"))
    for host in ("admin", "localhost:9901", "127.0.0.1:9901"):
        assert not browser.is_rebound(request(host=host, name="/run/admin.sock"))


OWN = "http://127.0.0.1:9901"


@pytest.mark.parametrize(
    ("method", "fields", "is_ours"),
    [
        ("GET", {}, True),
        ("GET", {"Sec_Fetch_Site": "same-origin"}, True),
        ("GET", {"Sec_Fetch_Site": "none"}, True),
        ("GET", {"Sec_Fetch_Site": "same-site"}, False),
        ("GET", {"Sec_Fetch_Site": "cross-site"}, False),
        ("GET", {"Origin": "http://evil.example"}, False),
        ("POST", {}, False),
        ("POST", {"Origin": OWN}, True),
        ("POST", {"Origin": OWN, "Sec_Fetch_Site": "same-origin"}, True),
        ("POST", {"Sec_Fetch_Site": "same-origin"}, True),
        ("POST", {"Sec_Fetch_Site": "none"}, False),
        ("POST", {"Origin": OWN, "Sec_Fetch_Site": "same-site"}, False),
        ("POST", {"Origin": "http://127.0.0.1:9902"}, False),
        ("POST", {"Origin": "http://localhost:9901"}, False),
        ("POST", {"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, False),
        ("POST", {"Origin": "null"}, False),
        ("POST", {"Origin": ""}, False),
        ("DELETE", {"Origin": "https://127.0.0.1:9901"}, True),  # a proxy speaks TLS
        ("POST", {"Origin": "ftp://127.0.0.1:9901"}, False),
    ],
)
def test_only_our_own_pages_may_ask(method: str, fields: dict[str, Any], is_ours: bool) -> None:
    if is_ours:
        browser.require_own_page(request(method, **fields))
        return
    with pytest.raises(BadRequest) as caught:
        browser.require_own_page(request(method, **fields))
    assert caught.value.status == 403


def test_over_tls_a_page_without_it_is_another() -> None:
    with pytest.raises(BadRequest):
        browser.require_own_page(request("POST", is_tls=True, Origin=OWN))
    browser.require_own_page(request("POST", is_tls=True, Origin="https://127.0.0.1:9901"))


def test_the_port_that_a_scheme_implies_may_be_left_out() -> None:
    asked = request("POST", host="gate.example:443", Origin="https://gate.example")
    browser.require_own_page(asked)
    with pytest.raises(BadRequest):
        browser.require_own_page(
            request("POST", host="gate.example:443", Origin="http://gate.example")
        )


def test_over_tls_only_the_cookie_of_this_very_host_counts() -> None:
    planted = "tollhouse_session=planted"
    assert browser.read_cookie(request(Cookie=planted)) == "planted"
    assert browser.read_cookie(request(is_tls=True, Cookie=planted)) == ""
    both = f"{planted}; __Host-tollhouse_session=own"
    assert browser.read_cookie(request(is_tls=True, Cookie=both)) == "own"
    assert browser.read_cookie(request(Cookie=f"tollhouse_session={'x' * 101}")) == ""
    assert browser.read_cookie(request()) == ""


@pytest.mark.parametrize(
    ("fields", "is_tls", "begins"),
    [
        ({}, False, "tollhouse_session=abc;"),
        ({}, True, "__Host-tollhouse_session=abc;"),
        ({"Origin": "https://gate.example"}, False, "__Host-tollhouse_session=abc;"),
    ],
)
def test_no_script_and_no_other_site_gets_the_cookie(
    fields: dict[str, Any], is_tls: bool, begins: str
) -> None:
    response = web.Response()
    browser.write_cookie(request("POST", is_tls=is_tls, **fields), response, "abc")
    written = response.cookies.output(header="").strip()
    assert written.startswith(begins)
    for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in written
    assert "Domain" not in written
    assert ("Secure" in written) is begins.startswith("__Host-")


def test_a_cookie_is_taken_away() -> None:
    response = web.Response()
    browser.write_cookie(request("DELETE"), response, "")
    assert "Max-Age=0" in response.cookies.output()
