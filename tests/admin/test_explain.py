"""Explain, ip-test and the would-block report over the admin API of a whole gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.admin import ip_test, reports
from gateway.assembly.gateway import Gateway
from tests.admin.caller import Caller
from tests.admin.caller import serving as _serving
from tests.admin.request_log import FakeRequestLog, a_row
from tests.assembly.serving import EDGE, add_tenant, ask, mint, serving
from tests.key_samples import ORDER
from tests.keyring.house import House

TEXT = """
client_address: {trusted_proxies: [10.0.0.0/8]}
upstreams: {u: {targets: ['http://127.0.0.1:9/base']}}
plans:
  few: {rate: {per_minute: 2}, quota: {per_month: 100}}
  trial: {rate: {per_minute: 1}, owners: [route], mode: shadow}
routes:
  - {name: me, match: {path: /me}, handler: introspect}
  - name: jobs
    match: {methods: [GET], path: '/jobs/{id}'}
    scopes: ['jobs:read']
    scopes_mode: shadow
    ip_allowlist: {allow: [192.0.2.0/24], mode: shadow}
    plan: trial
    upstream: u
  - {name: closed, match: {path: /closed}, ip_allowlist: [203.0.113.0/24], upstream: u}
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(tmp_path, TEXT, EDGE) as gateway:
        await add_tenant(gateway)
        yield gateway


@pytest.fixture
async def call(gateway: Gateway) -> AsyncIterator[Caller]:
    connector = aiohttp.UnixConnector(gateway.admin_address.removeprefix("unix:"))
    async with aiohttp.ClientSession("http://admin", connector=connector) as session:
        yield Caller(session)


def keep(gateway: Gateway, log: FakeRequestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `log` be what the gateway has kept of requests."""
    monkeypatch.setattr(type(gateway.request_log), "is_kept", property(lambda _: True))
    monkeypatch.setattr(gateway.request_log, "search", log.search)
    monkeypatch.setattr(gateway.request_log, "clients", log.clients)


def facts(told: Any, step: str) -> Any:
    return next(each["facts"] for each in told["steps"] if each["step"] == step)


# ---- explain


async def test_what_is_told_is_what_the_gateway_answers(gateway: Gateway, call: Caller) -> None:
    """D5, through the whole gateway: the same body for the same request."""
    minted = await mint(gateway.keyring, plan="few")
    for expected in (200, 200, 429):
        told = await call(
            "POST",
            "/explain",
            {"url": "/me", "key_id": minted.record.key_id, "client_address": "127.0.0.1"},
        )
        answer = await ask(gateway.public_address, "/me", minted.secret)
        assert (told["status"], answer.status) == (expected, expected)
        mine, theirs = json.loads(told["body"]), answer.json
        for each in ("request_id", "instance", "answered_at", "timestamp"):
            mine.pop(each, None)
            theirs.pop(each, None)
        assert mine == theirs


async def test_a_forwarded_request_is_told_step_by_step(gateway: Gateway, call: Caller) -> None:
    minted = await mint(gateway.keyring, plan="few")
    told = await call(
        "POST",
        "/explain",
        {
            "url": "https://api.test/jobs/7?x=1",
            "key_id": minted.record.key_id,
            "client_address": "10.0.0.1",
            "headers": {"X-Forwarded-For": ["198.51.100.1", "10.9.9.9"]},
        },
    )
    assert (told["verdict"], told["status"], told["reason"]) == ("forward", None, None)
    assert facts(told, "client_address")["client_address"] == "198.51.100.1"
    assert "the first that is no declared proxy" in facts(told, "client_address")["derivation"]
    assert facts(told, "request")["host"] == "api.test"
    assert facts(told, "handler")["request_line"] == "GET /base/jobs/7?x=1 HTTP/1.1"
    assert [each["rule"] for each in told["shadow"]] == ["route_ip", "scope"]
    assert "X-Request-Id" in [name for name, _ in told["headers"]]


async def test_times_are_told_as_rfc_3339(gateway: Gateway, call: Caller) -> None:
    minted = await mint(gateway.keyring)
    await gateway.keyring.update_key(minted.record.key_id, {"expires_at": 4_000_000_000.0}, ORDER)
    told = await call("POST", "/explain", {"url": "/me", "key_id": minted.record.key_id})
    assert facts(told, "key")["expires_at"] == "2096-10-02T07:06:40Z"


async def test_a_malformed_head_is_told_as_such(call: Caller) -> None:
    told = await call("POST", "/explain", {"url": "me"})
    assert (told["verdict"], told["reason"], told["status"]) == ("refuse", "invalid_request", 400)


async def test_what_cannot_be_a_request_is_refused_with_pointers(call: Caller) -> None:
    body = {
        "method": "GET /x",
        "url": "/a b",
        "key_id": "sk live",
        "client_address": "nowhere",
        "headers": {"Authorization": "Bearer x", "a b": "x", "X-A": "a\r\nb"},
    }
    answer = await call("POST", "/explain", body, expect=422)
    assert sorted(each["pointer"] for each in answer["errors"]) == [
        *("/client_address", "/headers/Authorization", "/headers/X-A", "/headers/a b"),
        *("/key_id", "/method", "/url"),
    ]
    await call("POST", "/explain", {"url": "http://[x/"}, expect=422)
    await call("POST", "/explain", {"url": "/me", "secret": "x"}, expect=422)


async def test_an_unknown_key_is_not_found(call: Caller) -> None:
    await call("POST", "/explain", {"url": "/me", "key_id": "key_nobody"}, expect=404)


async def test_explaining_follows_the_configuration_in_force(
    gateway: Gateway, call: Caller
) -> None:
    assert (await call("POST", "/explain", {"url": "/other"}))["reason"] == "no_route"
    text = gateway.config_path.read_text().replace("path: /me}", "path: /other}")
    gateway.config_path.write_text(text)
    await gateway.reloads.reload("test")
    told = await call("POST", "/explain", {"url": "/other"})
    assert (told["reason"], told["generation"]) == ("missing_credentials", 2)


async def test_where_no_gateway_runs_nothing_can_be_explained(tmp_path: Path) -> None:
    async with _serving(House(), tmp_path / "other.sock") as call:
        await call("POST", "/explain", {"url": "/me"}, expect=409)
        await call("POST", "/ip-test", {}, expect=409)
        await call("GET", "/reports/would-block", expect=409)


# ---- ip-test


async def test_an_address_is_tried_on_every_list(gateway: Gateway, call: Caller) -> None:
    """HP-22."""
    minted = await mint(gateway.keyring)
    changes: Any = {"ip_allowlist": ("203.0.113.0/24",)}
    await gateway.keyring.update_key(minted.record.key_id, changes, ORDER)
    body = {"address": "192.0.2.9", "key_id": minted.record.key_id, "route": "jobs"}
    told = await call("POST", "/ip-test", body)
    assert not told["is_allowed"]
    assert [(each["rule"], each["mode"], each["network"]) for each in told["rules"]] == [
        ("route_ip", "shadow", "192.0.2.0/24"),
        ("key_ip", "enforce", None),
    ]
    assert told["caller"]["address"] == ""
    allowed = await call("POST", "/ip-test", body | {"address": "203.0.113.4"})
    assert allowed["is_allowed"]


async def test_how_an_address_is_found_is_told(call: Caller) -> None:
    """HP-22, D11."""
    headers = {"X-Forwarded-For": "203.0.113.4"}
    behind = await call("POST", "/ip-test", {"peer_address": "10.0.0.1", "headers": headers})
    assert behind["tested"]["address"] == "203.0.113.4"
    assert behind["tested"]["is_trusted_peer"]
    unproved = await call("POST", "/ip-test", {"peer_address": "192.0.2.1", "headers": headers})
    assert unproved["tested"]["address"] == "192.0.2.1"
    closed = await call("POST", "/ip-test", {"address": "192.0.2.1", "route": "closed"})
    assert (closed["is_allowed"], closed["tested"]["derivation"]) == (
        False,
        "it was given as the client's",
    )
    own = await call("POST", "/ip-test", {})
    assert own["tested"] == own["caller"]


async def test_an_ip_test_that_makes_no_sense_is_refused(call: Caller) -> None:
    for body in (
        {"address": "x"},
        {"peer_address": "x"},
        {"address": "192.0.2.1", "peer_address": "192.0.2.1"},
        {"allow": ["192.0.2.1"]},
        {"allow": ["192.0.2.1"], "key_id": "a", "tenant_id": "b"},
        {"headers": {"Cookie": "x"}},
        {"allow": ["192.0.2.1/8"], "tenant_id": "ten_a"},
    ):
        await call("POST", "/ip-test", body, expect=422)
    await call("POST", "/ip-test", {"route": "nowhere"}, expect=404)
    await call("POST", "/ip-test", {"key_id": "nobody"}, expect=404)


async def test_whom_a_new_list_would_refuse_is_told_before_it_is_enabled(
    gateway: Gateway, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HP-23."""
    minted = await mint(gateway.keyring)
    key_id = minted.record.key_id
    addresses = ["192.0.2.7", "192.0.2.7", *(f"198.51.{n}.1" for n in range(8)), ""]
    log = FakeRequestLog([a_row(client_address=each, key_id=key_id) for each in addresses])
    keep(gateway, log, monkeypatch)
    for whose in ({"tenant_id": "ten_a"}, {"key_id": key_id}):
        body = {"allow": ["192.0.2.0/24"], "since": "30d", **whose}
        told = (await call("POST", "/ip-test", body))["preview"]
        assert (told["addresses"], told["networks"], told["is_complete"]) == (10, 9, True)
        refused = [each["client_address"] for each in told["would_block"]]
        assert refused == [*(f"198.51.{n}.1" for n in range(8)), "unix socket"]
        assert [warning.split(" ")[0] for warning in told["warnings"]] == ["9", "the"]
    everybody = await call("POST", "/ip-test", {"allow": [], "tenant_id": "ten_a"})
    assert everybody["preview"]["would_block"] == []
    monkeypatch.setattr(ip_test, "ROWS_MAX", 3)
    some = await call("POST", "/ip-test", {"allow": ["192.0.2.0/24"], "tenant_id": "ten_a"})
    assert not some["preview"]["is_complete"]


# ---- would-block


async def test_what_rules_in_shadow_mode_would_have_refused_is_reported(
    gateway: Gateway, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HP-23, D5."""
    both = a_row(shadow=["ip_not_allowed", "rate_limited"], shadow_rules=["route_ip", "limit"])
    nothing = a_row(shadow=[], shadow_rules=[])
    log = FakeRequestLog([a_row(), a_row(), a_row(), both, nothing, a_row(route="other")])
    keep(gateway, log, monkeypatch)
    report = await call("GET", "/reports/would-block?since=2026-01-01T00:00:00Z")
    assert (report["since"], report["findings"], report["is_complete"]) == (
        "2026-01-01T00:00:00Z",
        6,
        True,
    )
    assert [(each["rule"], each["route"], each["requests"]) for each in report["data"]] == [
        ("key_ip", "jobs", 3),
        ("route_ip", "jobs", 1),
        ("limit", "jobs", 1),
        ("key_ip", "other", 1),
    ]
    assert [asked.shadow for asked in log.asked] == ["*"] * 3  # three pages of one search
    narrow = await call("GET", "/reports/would-block?route=other&key_id=key_a&tenant_id=ten_a")
    assert [each["route"] for each in narrow["data"]] == ["other"]
    monkeypatch.setattr(reports, "ROWS_MAX", 3)
    assert not (await call("GET", "/reports/would-block"))["is_complete"]


@pytest.mark.parametrize("since", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "999999999w"])
async def test_a_time_that_is_none_is_refused(
    gateway: Gateway, call: Caller, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(gateway, FakeRequestLog(), monkeypatch)
    await call("GET", f"/reports/would-block?since={since}", expect=400)
    body = {"allow": ["192.0.2.1"], "tenant_id": "ten_a", "since": since}
    await call("POST", "/ip-test", body, expect=400)


# ---- shadow mode, from the file to the metrics


async def test_rules_in_shadow_mode_are_counted_and_refuse_nothing(
    gateway: Gateway, call: Caller
) -> None:
    minted = await mint(gateway.keyring)
    for _ in range(2):
        answer = await ask(gateway.public_address, "/jobs/7", minted.secret)
        assert answer.status == 502  # nobody listens behind: it was forwarded
    metrics = (await ask(gateway.metrics_address, "/metrics")).body.decode()
    for line in (
        'tollhouse_shadow_denials_total{route="jobs",rule_kind="route_ip"} 2.0',
        'tollhouse_shadow_denials_total{route="jobs",rule_kind="scope"} 2.0',
        'tollhouse_shadow_denials_total{route="jobs",rule_kind="limit"} 1.0',
        'tollhouse_ratelimit_decisions_total{outcome="shadow_denied",policy="trial/minute"} 1.0',
    ):
        assert line in metrics
