"""Alerts of a whole gateway: real usage, real channels, a reload, a restart."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.alerts.channels.email import EmailChannel
from gateway.alerts.channels.log import LogChannel
from gateway.alerts.channels.slack import SlackChannel
from gateway.alerts.channels.webhook import WebhookChannel
from gateway.assembly.alerting import health_of, make_channel
from gateway.assembly.gateway import Gateway
from gateway.config import model
from gateway.domain.alert_rules.health import Health
from gateway.domain.alerts import AlertQuery
from gateway.domain.webhook_signature import signature
from tests.alerts.channels.receiver import Receiver, receiving
from tests.assembly.serving import add_tenant, ask, configured, mint, serving
from tests.clock import FakeClock
from tests.key_samples import an_order

SECRET = "whsec_" + b64encode(b"k" * 32).decode()


def text(url: str, every: str = "50ms", alerts: str = "") -> str:
    return (
        "routes: [{name: me, match: {path: /me}, handler: introspect}]\n"
        f"channels: {{ops: {{webhook: {{url: '{url}', secret: {SECRET}}}, every: 100ms}}}}\n"
        f"alerts: {{every: {every}, channels: [ops]{alerts}}}\n"
    )


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def becomes(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds: pauses between attempts are seconds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("keys.db*")]


async def told(receiver: Receiver, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[Any]:
    """Wait until what was told is as `wanted`; return it."""

    def found() -> list[dict[str, Any]]:
        return [each for body in receiver.bodies for each in json.loads(body)["alerts"]]

    await becomes(lambda: wanted(found()))
    return found()


def of(rule: str) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda found: any(each["rule"] == rule for each in found)


async def stored(gateway: Gateway) -> list[tuple[str, str]]:
    page = await gateway.alerting.desk.page(AlertQuery(), before=0, limit=100)
    return [(each.rule, each.state.value) for each in page.alerts]


async def test_a_revoked_key_that_is_still_used_is_told_to_the_channel_signed(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(tmp_path, text(receiver.url)) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        assert (await ask(gateway.public_address, "/me", minted.secret)).status == 401
        [alert] = await told(receiver, of("RevokedApiKeyStillUsed"))
        assert alert["key_id"] == minted.record.key_id
        assert alert["summary"] == (
            f'Key "k" ({minted.record.key_id}) of ten_a was used after it was revoked'
            " (1 request, from 127.0.0.0/24)"
        )
        assert ("RevokedApiKeyStillUsed", "firing") in await stored(gateway)
        body, headers = receiver.bodies[0], receiver.headers[0]
        moment = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signature(
            [SECRET], headers["webhook-id"], moment, body
        )
        exposed = gateway.recorders.metrics.render()[0].decode()
        assert 'tollhouse_alerts_firing{rule="RevokedApiKeyStillUsed"} 1.0' in exposed
        assert (
            'tollhouse_alert_notifications_total{channel="ops",outcome="delivered"} 1.0' in exposed
        )
        assert "tollhouse_alerts_evaluated_timestamp_seconds 1" in exposed
    assert not any(
        SECRET.encode() in content or b"s3cr3t" in content for content in _files(tmp_path)
    )


async def test_a_reload_changes_rules_and_channels(tmp_path: Path, receiver: Receiver) -> None:
    off = ", rules: {RevokedApiKeyStillUsed: {enabled: false}}"
    async with serving(tmp_path, text(receiver.url, alerts=off)) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        await ask(gateway.public_address, "/me", minted.secret)
        await gateway.alerting.evaluator.look()
        assert await stored(gateway) == []
        path = receiver.url.replace("/hook", "/elsewhere")
        configured(tmp_path, text(path))
        await gateway.reloads.reload("test")
        await told(receiver, of("RevokedApiKeyStillUsed"))
        assert receiver.paths == ["/elsewhere"]


async def test_what_fires_is_open_after_a_restart_and_not_told_again(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(tmp_path, text(receiver.url)) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        await ask(gateway.public_address, "/me", minted.secret)
        await told(receiver, of("RevokedApiKeyStillUsed"))
    async with serving(tmp_path, text(receiver.url, every="1h")) as gateway:
        for _ in range(3):
            await gateway.alerting.evaluator.look()
        assert await stored(gateway) == [("RevokedApiKeyStillUsed", "firing")]
        assert gateway.alerting.evaluator.firing["RevokedApiKeyStillUsed"] == 1
    assert len(receiver.bodies) == 1


async def test_what_is_to_be_told_survives_a_stop_and_a_receiver_that_was_away(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.status = 503
    async with serving(tmp_path, text(receiver.url)) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        await gateway.keyring.revoke_key(minted.record.key_id, an_order("leaked"))
        await ask(gateway.public_address, "/me", minted.secret)
        await told(receiver, of("RevokedApiKeyStillUsed"))
    first = receiver.headers[0]["webhook-id"]
    receiver.status = 204
    async with serving(tmp_path, text(receiver.url, every="1h")) as gateway:
        await becomes(lambda: len(receiver.bodies) == 2)
        messages = gateway.alerting.desk.messages
        async with asyncio.timeout(5):
            while await messages(state="", channel="", after="", limit=5):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
    assert [each["webhook-id"] for each in receiver.headers] == [first, first]


async def test_a_refused_reload_is_told(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, text(receiver.url)) as gateway:
        (tmp_path / "config.yaml").write_text("version: 1\nnonsense: 1\n")
        with pytest.raises(Exception, match="problem"):
            await gateway.reloads.reload("test")
        [alert] = await told(receiver, of("GatewayConfigReloadFailed"))
        assert (alert["tenant_id"], alert["key_id"]) == ("", "")


async def test_a_receiver_that_hangs_delays_neither_rules_nor_the_end(
    tmp_path: Path, receiver: Receiver
) -> None:
    never = asyncio.Event()
    receiver.answer = never.wait
    async with serving(tmp_path, text(receiver.url)) as gateway:
        (tmp_path / "config.yaml").write_text("version: 1\nnonsense: 1\n")
        with pytest.raises(Exception, match="problem"):
            await gateway.reloads.reload("test")
        await told(receiver, of("GatewayConfigReloadFailed"))
        before = gateway.alerting.evaluator.looked_at
        await becomes(lambda: gateway.alerting.evaluator.looked_at > before)
        ending = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - ending < 5
    never.set()


def test_readings_become_health() -> None:
    assert health_of({}) == Health(
        lost=dict.fromkeys(("audit trail", "access log", "request log", "recorders"), 0)
    )
    whole = health_of(
        {
            "store_up": {(): 0.0},
            "limiter_up": {(): 0.0},
            "audit_dropped_total": {(): 1.0},
            "access_log_dropped_total": {(): 2.0},
            "request_log_dropped_total": {(): 3.0},
            "recorder_errors_total": {("metrics",): 1.0, ("usage",): 4.0},
            "audit_intact": {(): 0.0},
            "revocations_pending": {(): 2.0},
            "config_last_reload_successful": {(): 0.0},
            "upstream_up": {("jobs",): 0.0, ("mail",): 1.0},
            "tls_certificate_expiry_timestamp_seconds": {("public", "a.example"): 5.0},
        }
    )
    assert whole == Health(
        store_fault="its last contact failed",
        is_limiter_up=False,
        lost={"audit trail": 1.0, "access log": 2.0, "request log": 3.0, "recorders": 5.0},
        is_audit_intact=False,
        revocations_pending=2,
        is_reload_good=False,
        upstreams={"jobs": False, "mail": True},
        certificates={("public", "a.example"): 5.0},
    )


def made(tmp_path: Path, **section: Any) -> Any:
    channel = model.Channel.model_validate(section)
    return make_channel(channel, tmp_path / "config.yaml", FakeClock())


def test_each_kind_of_channel_is_made_of_its_section(tmp_path: Path) -> None:
    other = "whsec_" + b64encode(b"o" * 32).decode()
    hook = {"url": "https://h/", "secret": SECRET, "previous_secret": other, "ca": "ca.pem"}
    webhook = made(tmp_path, webhook=hook)
    assert isinstance(webhook, WebhookChannel)
    assert (webhook.url, webhook.secrets) == ("https://h/", (SECRET, other))
    assert (webhook.timeout_seconds, webhook.ca) == (10.0, str(tmp_path / "ca.pem"))
    slack = made(tmp_path, slack={"url": "https://s/", "timeout": "3s"})
    assert slack == SlackChannel(url="https://s/", timeout_seconds=3.0)
    mail = {"host": "smtp.example.com", "sender": "a@example.com", "to": ["b@example.com"]}
    email = made(tmp_path, email=mail)
    assert isinstance(email, EmailChannel)
    assert (email.host, email.port, email.tls) == ("smtp.example.com", 587, "starttls")
    assert made(tmp_path, email={**mail, "tls": "tls"}).port == 465
    login = made(tmp_path, email={**mail, "port": 2525, "user": "u", "password": "p"})
    assert login == replace(email, port=2525, user="u", password="p", clock=login.clock)
    assert isinstance(made(tmp_path, log=True), LogChannel)
