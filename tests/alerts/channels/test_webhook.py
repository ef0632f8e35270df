"""Signed webhooks over real sockets: JH-13."""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.channels.webhook import WebhookChannel
from tests.alert_samples import NOW
from tests.alerts.channels.receiver import a_content, receiving
from tests.certificates import authority, issue, server_context, trust
from tests.clock import FakeClock

SECRET = "whsec_" + b64encode(b"k" * 32).decode()
OTHER = "whsec_" + b64encode(b"o" * 32).decode()


def a_channel(url: str, **values: Any) -> WebhookChannel:
    given: dict[str, Any] = {
        "secrets": (SECRET,),
        "timeout_seconds": 5.0,
        "clock": FakeClock(NOW + 0.7),
    }
    return WebhookChannel(url=url, **(given | values))


async def fault(channel: WebhookChannel) -> Undelivered:
    with pytest.raises(Undelivered) as raised:
        await channel.send("msg_1", a_content())
    return raised.value


async def test_jh_13_a_receiver_can_check_what_it_got_with_the_secret_alone() -> None:
    async with receiving() as receiver:
        await a_channel(receiver.url).send("msg_1", a_content(2))
    [headers], [body] = receiver.headers, receiver.bodies
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(int(NOW))
    key = b64decode(SECRET.removeprefix("whsec_"))
    expected = hmac.digest(key, f"msg_1.{int(NOW)}.".encode() + body, "sha256")
    assert headers["webhook-signature"] == f"v1,{b64encode(expected).decode()}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("Tollhouse/")
    assert json.loads(body) == a_content(2)


async def test_a_repetition_has_the_same_id_and_body() -> None:
    async with receiving() as receiver:
        for _ in range(2):
            await a_channel(receiver.url).send("msg_1", a_content())
    assert receiver.bodies[0] == receiver.bodies[1]
    assert [each["webhook-id"] for each in receiver.headers] == ["msg_1", "msg_1"]


async def test_while_a_secret_is_changed_both_sign() -> None:
    async with receiving() as receiver:
        await a_channel(receiver.url, secrets=(SECRET, OTHER)).send("msg_1", a_content())
    assert len(receiver.headers[0]["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize("status", [300, 400, 404, 429, 500, 503])
async def test_anything_but_success_is_tried_again(status: int) -> None:
    async with receiving() as receiver:
        receiver.status = status
        error = await fault(a_channel(receiver.url))
    assert str(error) == f"the receiver answered {status}"
    assert not error.is_final


async def test_a_receiver_that_is_gone_for_good_is_not_tried_again() -> None:
    async with receiving() as receiver:
        receiver.status = 410
        assert (await fault(a_channel(receiver.url))).is_final


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("120", 120.0), ("999999", 3600.0), ("-1", 0.0), ("soon", 0.0), ("9" * 20, 0.0)],
)
async def test_a_receiver_may_ask_for_a_pause_of_an_hour_at_most(wait: str, seconds: float) -> None:
    async with receiving() as receiver:
        receiver.status, receiver.answer_headers = 429, {"Retry-After": wait}
        assert (await fault(a_channel(receiver.url))).retry_after_seconds == seconds


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as receiver:
        receiver.status, receiver.answer_headers = 307, {"Location": "/elsewhere"}
        assert str(await fault(a_channel(receiver.url))) == "the receiver answered 307"
    assert receiver.paths == ["/hook"]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with receiving() as receiver:
        await a_channel(receiver.url).send("msg_1", a_content())
    assert len(receiver.bodies) == 1


async def test_a_receiver_that_says_nothing_is_given_up_in_time() -> None:
    async with receiving() as receiver:
        never = asyncio.Event()
        receiver.answer = never.wait
        assert str(await fault(a_channel(receiver.url, timeout_seconds=0.05))) == (
            "no answer within 0.05 s"
        )
        never.set()


async def test_no_error_names_the_url_or_the_secret() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        urls = (
            f"http://127.0.0.1:{port}/hook?token=s3cr3t",
            "http://s3cr3t.invalid/hook",
            "https://127.0.0.1:1/s3cr3t",
            "http://[s3cr3t/",
            "s3cr3t://x/",
        )
        for url in urls:
            channel = a_channel(url)
            error = await fault(channel)
            shown = f"{error!r} {error} {error.__cause__!r} {channel!r}"
            assert "s3cr3t" not in shown, shown
            assert SECRET not in shown
            assert str(error)


async def test_a_receiver_is_believed_by_the_authority_that_is_named(tmp_path: Path) -> None:
    ca = authority()
    context = server_context(issue(tmp_path, ca, "localhost"))
    async with receiving(context) as receiver:
        channel = a_channel(receiver.url, ca=str(trust(tmp_path, ca)))
        await channel.send("msg_1", a_content())
        stranger = a_channel(receiver.url)
        assert str(await fault(stranger)) == "the receiver's certificate is not trusted"
        other = trust(tmp_path, authority("Another"), "other.pem")
        assert str(await fault(a_channel(receiver.url, ca=str(other)))) == (
            "the receiver's certificate is not trusted"
        )
        by_address = receiver.url.replace("localhost", "127.0.0.1")
        assert str(await fault(a_channel(by_address, ca=str(trust(tmp_path, ca))))) == (
            "the receiver's certificate is not trusted"
        )
    assert len(receiver.bodies) == 1


async def test_a_file_of_authorities_that_is_gone_is_told(tmp_path: Path) -> None:
    error = await fault(a_channel("https://localhost:1/", ca=str(tmp_path / "none.pem")))
    assert str(error) == "cannot send: No such file or directory"


async def test_a_receiver_that_speaks_no_tls_is_told() -> None:
    async with receiving() as receiver:
        error = await fault(a_channel(receiver.url.replace("http:", "https:")))
    assert str(error) == "cannot speak TLS with the receiver"
