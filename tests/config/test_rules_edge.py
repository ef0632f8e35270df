"""Listeners, proxies, headers, dialects, targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import authority, issue
from tests.config.sample import UPSTREAM, said

TOKEN = "t" * 32


def test_links_are_served_in_clear_only_where_nobody_else_listens(tmp_path: Path) -> None:
    for bind in ("127.0.0.1:8443", "unix:run/links.sock", "null"):
        assert (
            said(tmp_path, f"listeners: {{delivery: {{bind: '{bind}'}}}}".replace("'null'", "null"))
            == []
        )
    wide = "listeners: {delivery: {bind: '0.0.0.0:8443'%s}}"
    assert said(tmp_path, wide % "") == [
        "listeners.delivery.bind: is in reach of the network: secrets would cross it in clear "
        "(set `tls`, or `insecure` behind a proxy with TLS)"
    ]
    assert said(tmp_path, wide % ", insecure: true") == []
    files = "tls: {certificates: [{certificate: a.pem, key: a.key}]}"
    assert not any("delivery.bind" in text for text in said(tmp_path, wide % f", {files}"))
    text = f"listeners: {{delivery: {{{files}}}}}"
    assert "listeners.delivery.tls: means nothing without `bind`" in said(tmp_path, text)
    taken = "listeners: {public: {bind: '127.0.0.1:80'}, delivery: {bind: '127.0.0.1:80'}}"
    assert said(tmp_path, taken) == ["listeners.delivery.bind: is taken by the public listener"]


def test_two_listeners_never_share_an_address(tmp_path: Path) -> None:
    text = "listeners: {public: {bind: '127.0.0.1:80'}, metrics: {bind: '127.0.0.1:80'}}"
    assert said(tmp_path, text) == ["listeners.metrics.bind: is taken by the public listener"]
    text = "listeners: {public: {bind: '0.0.0.0:80'}, metrics: {bind: '127.0.0.1:80'}}"
    assert said(tmp_path, text) == ["listeners.metrics.bind: is taken by the public listener"]
    text = "listeners: {public: {bind: 'unix:a'}, admin: {bind: 'unix:a'}}"
    assert said(tmp_path, text) == ["listeners.admin.bind: is taken by the public listener"]


@pytest.mark.parametrize(
    ("public", "metrics"),
    [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:80", "[::1]:80"),
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("unix:a", "unix:b"),
    ],
)
def test_different_addresses_are_fine(tmp_path: Path, public: str, metrics: str) -> None:
    text = f"listeners: {{public: {{bind: '{public}'}}, metrics: {{bind: '{metrics}'}}}}"
    assert said(tmp_path, text) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_admin_listens_on_loopback_with_a_token(tmp_path: Path, host: str) -> None:
    assert said(tmp_path, f"listeners: {{admin: {{bind: '{host}:1', token: {TOKEN}}}}}") == []


TLS = "tls: {certificates: [{certificate: a.pem, key: a.key}]}"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "admin.example.com"])
def test_admin_beyond_loopback_needs_tls_or_an_explicit_word(tmp_path: Path, host: str) -> None:
    issue(tmp_path, authority(), "admin.test", file="a")
    common = f"listeners: {{admin: {{bind: '{host}:1', token: {TOKEN}"
    assert said(tmp_path, f"{common}}}}}") == [
        "listeners.admin.bind: is in reach of the network: tokens and keys would cross it in clear "
        "(use a unix socket or loopback, or set `tls`)"
    ]
    assert said(tmp_path, f"{common}, insecure: true}}}}") == []
    assert said(tmp_path, f"{common}, {TLS}}}}}") == []


@pytest.mark.parametrize("bind", ["127.0.0.1:1", "unix:a"])
def test_admin_needs_no_token_here_because_the_store_may_hold_some(
    tmp_path: Path, bind: str
) -> None:
    assert said(tmp_path, f"listeners: {{admin: {{bind: '{bind}'}}}}") == []


def test_an_admin_token_is_none_that_can_be_guessed(tmp_path: Path) -> None:
    assert said(tmp_path, "listeners: {admin: {token: short}}") == [
        "listeners.admin.token: has 5 characters and needs at least 32 "
        "(make one with `openssl rand -hex 32`)"
    ]


def test_the_dashboard_is_where_browsers_are_and_tokens_stay_secret(tmp_path: Path) -> None:
    assert said(tmp_path, "dashboard: {bind: '127.0.0.1:9901'}") == []
    assert said(tmp_path, "dashboard: {bind: 'unix:a'}") == [
        "dashboard.bind: is out of reach of browsers (use a port on loopback: 127.0.0.1:9901)"
    ]
    wide = "dashboard: {bind: '0.0.0.0:9901'}\n"
    assert said(tmp_path, wide) == [
        "dashboard.bind: is in reach of the network: tokens and keys would cross it in clear "
        "(use loopback, or set `listeners.admin.tls`)"
    ]
    assert said(tmp_path, wide.replace("}", ", insecure: true}")) == []
    taken = "listeners: {metrics: {bind: '127.0.0.1:9'}}\ndashboard: {bind: '127.0.0.1:9'}"
    assert said(tmp_path, taken) == ["dashboard.bind: is taken by the metrics listener"]


def test_whoever_trusts_proxies_names_them(tmp_path: Path) -> None:
    text = "listeners: {admin: {trusts_proxies: true}}\n"
    [message] = said(tmp_path, text)
    assert "listeners.admin.trusts_proxies: trusts nobody" in message
    assert said(tmp_path, f"{text}client_address: {{trusted_proxies: [10.0.0.0/8]}}\n") == []


def test_proxy_protocol_is_believed_from_named_proxies_only(tmp_path: Path) -> None:
    text = "listeners: {public: {proxy_protocol: true}}\n"
    assert "choose their own address" in said(tmp_path, text)[0]
    assert said(tmp_path, text + "client_address: {trusted_proxies: [10.0.0.0/8]}") == []
    text = "listeners: {public: {proxy_protocol: true, bind: 'unix:a'}}\n"
    assert said(tmp_path, text) == []


@pytest.mark.parametrize(
    "name",
    [
        "X-Gateway-Tenant",
        "x-gateway-anything",
        "Via",
        "X-Forwarded-For",
        "X-Request-Id",
        "traceparent",
    ],
)
def test_header_that_the_gateway_vouches_for_cannot_be_set(tmp_path: Path, name: str) -> None:
    text = UPSTREAM + (
        f"environments: {{live: {{forward: {{{name}: x}}}}, test: {{}}}}\n"
        "routes:\n  - {name: a, match: {path: /a}, upstream: u, "
        f"headers: {{request: {{set: {{{name}: x}}}}}}}}\n"
    )
    assert said(tmp_path, text) == [
        f"environments.live.forward.{name}: is set by the gateway itself: an upstream could not "
        "trust it",
        f"routes[0].headers.request.set.{name}: is set by the gateway itself: an upstream could "
        "not trust it",
    ]


def test_request_id_of_an_answer_cannot_be_set(tmp_path: Path) -> None:
    text = UPSTREAM + (
        "routes:\n  - {name: a, match: {path: /a}, upstream: u, "
        "headers: {response: {set: {X-Request-ID: x, Server: y}}}}\n"
    )
    assert said(tmp_path, text) == [
        "routes[0].headers.response.set.X-Request-ID: is set by the gateway itself"
    ]


def test_identity_headers_are_distinct_and_mean_nothing_else(tmp_path: Path) -> None:
    text = "identity_headers: {key_id: X-Key, lineage: x-key, tenant: Authorization, scopes: Via, environment: ''}"
    assert said(tmp_path, text) == [
        "identity_headers.lineage: the header 'x-key' is used twice",
        "identity_headers.tenant: 'authorization' is a header with another meaning",
        "identity_headers.scopes: 'via' is a header with another meaning",
    ]


def test_profiles_are_named_once_and_off_stands_alone(tmp_path: Path) -> None:
    assert said(tmp_path, "dialect: {rate_headers: [draft, draft]}") == [
        "dialect.rate_headers[1]: the profile 'draft' is used twice"
    ]
    assert said(tmp_path, "dialect: {rate_headers: [off, draft]}") == [
        "dialect.rate_headers: `off` cannot be combined with a profile"
    ]
    assert said(tmp_path, "dialect: {rate_headers: [off]}") == []
    text = UPSTREAM + (
        "routes: [{name: a, match: {path: /a}, upstream: u, "
        "dialect: {rate_headers: [jobhive, off]}}]\n"
    )
    assert said(tmp_path, text) == [
        "routes[0].dialect.rate_headers: `off` cannot be combined with a profile"
    ]


def test_targets_of_an_upstream_are_the_same_service(tmp_path: Path) -> None:
    text = "upstreams: {u: {targets: ['http://a/x', 'http://a/x', 'http://b/x/', 'http://c']}}"
    assert said(tmp_path, text) == [
        "upstreams.u.targets[1]: the target 'http://a/x' is used twice",
        "upstreams.u.targets[3]: has another base path than the first target ('/x') "
        "(a request may go to any of them)",
    ]
    assert said(tmp_path, "upstreams: {u: {targets: ['http+unix:/a', 'http://b']}}") == []


# ---- proxies that ask


def asking(text: str, more: str = "") -> str:
    return f"listeners: {{forward_auth: {{{text}}}}}\n{more}"


TRUSTED = "client_address: {trusted_proxies: [10.0.0.0/8]}\n"


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("bind: '127.0.0.1:9002'", ""),
        ("bind: '[::1]:9002'", ""),
        ("bind: 'unix:run/auth.sock'", ""),
        ("bind: '10.0.0.5:9002', insecure: true", TRUSTED),
    ],
)
def test_proxies_may_ask_where_nobody_listens_in(tmp_path: Path, text: str, more: str) -> None:
    assert said(tmp_path, asking(text, more)) == []


def test_keys_of_clients_do_not_cross_the_network_in_clear(tmp_path: Path) -> None:
    (found,) = said(tmp_path, asking("bind: '10.0.0.5:9002'", TRUSTED))
    assert "in clear" in found


def test_proxies_beyond_this_machine_are_declared(tmp_path: Path) -> None:
    (found,) = said(tmp_path, asking("bind: '10.0.0.5:9002', insecure: true"))
    assert "trusted_proxies" in found


def test_proxies_that_ask_say_who_their_clients_are(tmp_path: Path) -> None:
    text = asking("bind: '127.0.0.1:9002'", "client_address: {header: none}\n")
    (found,) = said(tmp_path, text)
    assert "who clients are" in found


def test_tls_of_a_listener_that_is_not_there_means_nothing(tmp_path: Path) -> None:
    found = said(tmp_path, asking("tls: {certificates: [{certificate: c.pem, key: k.pem}]}"))
    assert any("means nothing without `bind`" in each for each in found)


def test_the_listener_for_proxies_has_an_address_of_its_own(tmp_path: Path) -> None:
    (found,) = said(tmp_path, asking("bind: '127.0.0.1:8080'"))
    assert "taken by the public listener" in found
