from __future__ import annotations

import json

import pytest

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.channels.slack import TEXT_LENGTH_MAX, SlackChannel, text_of
from tests.alerts.channels.receiver import a_content, receiving


async def test_an_alert_is_a_text_in_slacks_format() -> None:
    async with receiving() as receiver:
        await SlackChannel(url=receiver.url, timeout_seconds=5.0).send("msg_1", a_content())
    assert json.loads(receiver.bodies[0]) == {
        "text": '[warning] ApiKeyHighErrorRate: Key "CI" (key_a) of ten_a has errors'
    }


def test_several_alerts_have_a_headline() -> None:
    lines = text_of(a_content(3)).split("\n")
    assert lines[0] == "3 alerts: 3 fired"
    assert len(lines) == 4


def test_what_has_a_meaning_in_slack_is_escaped() -> None:
    text = text_of(a_content(summary="<!channel> & <https://evil.example|click>"))
    assert text.endswith("&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;")


def test_a_long_text_is_cut_between_lines() -> None:
    text = text_of(a_content(50, summary="x" * 400))
    assert len(text) <= TEXT_LENGTH_MAX + 4
    assert text.endswith("x\n...")


async def test_a_channel_that_refuses_is_told() -> None:
    async with receiving() as receiver:
        receiver.status = 404
        with pytest.raises(Undelivered, match="the receiver answered 404"):
            await SlackChannel(url=receiver.url, timeout_seconds=5.0).send("msg_1", a_content())
    assert "s3cr3t" not in repr(SlackChannel(url=receiver.url, timeout_seconds=5.0))
