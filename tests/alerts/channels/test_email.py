"""E-mail to a real SMTP server: HP-28, IV-16."""

from __future__ import annotations

import asyncio
import logging
import ssl
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.channels.email import SUBJECT_LENGTH_MAX, EmailChannel
from tests.alert_samples import NOW
from tests.alerts.channels.mail_server import PASSWORD, USER, serving
from tests.alerts.channels.receiver import a_content
from tests.certificates import authority, issue, server_context, trust
from tests.clock import FakeClock


def a_channel(port: int, **values: Any) -> EmailChannel:
    given: dict[str, Any] = {
        "host": "localhost",
        "tls": "none",
        "sender": "gateway@example.com",
        "to": ("ops@example.com", "oncall@example.com"),
        "timeout_seconds": 5.0,
        "clock": FakeClock(NOW),
    }
    return EmailChannel(port=port, **(given | values))


def read(content: Any) -> Message:
    return message_from_bytes(content, policy=default)


async def fault(channel: EmailChannel) -> str:
    with pytest.raises(Undelivered) as raised:
        await channel.send("msg_1", a_content())
    error = raised.value
    assert "s3cr3t" not in f"{error!r} {error.__cause__!r}"
    return str(error)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    ca = authority()
    context = server_context(issue(tmp_path, ca, "localhost"))
    return context, str(trust(tmp_path, ca))


async def test_iv_16_a_mail_says_what_happened_to_everybody_in_the_list() -> None:
    async with serving() as (mailbox, port):
        await a_channel(port).send("msg_1", a_content())
    [mail] = mailbox.mails
    assert mail.mail_from == "gateway@example.com"
    assert mail.rcpt_tos == ["ops@example.com", "oncall@example.com"]
    message = read(mail.content)
    line = '[warning] ApiKeyHighErrorRate: Key "CI" (key_a) of ten_a has errors'
    assert message["Subject"] == line
    assert message["From"] == "gateway@example.com"
    assert message["To"] == "ops@example.com, oncall@example.com"
    assert message["Message-ID"] == "<msg_1@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Tue, 14 Nov 2023 22:13:20 -0000"
    assert message.get_content().split("\r\n") == [line, ""]  # type: ignore[attr-defined]


async def test_several_alerts_are_one_mail() -> None:
    async with serving() as (mailbox, port):
        await a_channel(port).send("msg_1", a_content(3))
    [mail] = mailbox.mails
    message = read(mail.content)
    assert message["Subject"] == "3 alerts: 3 fired"
    assert len(message.get_content().splitlines()) == 3  # type: ignore[attr-defined]


async def test_a_name_cannot_add_a_header_or_make_a_subject_endless() -> None:
    content = a_content(summary="x\r\nBcc: thief@example.com\r\n" + "y" * 500)
    channel = a_channel(1)
    with pytest.raises(Undelivered, match="cannot send: ValueError"):
        await channel.send("msg_1", content)
    async with serving() as (mailbox, port):
        await a_channel(port).send("msg_1", a_content(summary="ü" * 500))
    assert len(read(mailbox.mails[0].content)["Subject"]) == SUBJECT_LENGTH_MAX


async def test_starttls_encrypts_before_anybody_logs_in(tls: tuple[ssl.SSLContext, str]) -> None:
    context, ca = tls
    async with serving(starttls=context, login=True) as (mailbox, port):
        await a_channel(port, tls="starttls", ca=ca, user=USER, password=PASSWORD).send(
            "msg_1", a_content()
        )
    assert (mailbox.was_encrypted, mailbox.logins) == ([True], [(USER, PASSWORD)])


async def test_tls_from_the_first_byte(tls: tuple[ssl.SSLContext, str]) -> None:
    context, ca = tls
    async with serving(tls=context, login=True) as (mailbox, port):
        await a_channel(port, tls="tls", ca=ca, user=USER, password=PASSWORD).send(
            "msg_1", a_content()
        )
    assert (len(mailbox.mails), mailbox.logins) == (1, [(USER, PASSWORD)])


async def test_a_server_that_cannot_encrypt_gets_neither_password_nor_mail() -> None:
    async with serving() as (mailbox, port):
        assert (
            await fault(a_channel(port, tls="starttls", user=USER, password=PASSWORD))
        ).startswith("cannot send: ")
    assert (mailbox.mails, mailbox.logins) == ([], [])


async def test_a_server_that_nobody_vouches_for_gets_nothing(
    tls: tuple[ssl.SSLContext, str],
) -> None:
    async with serving(starttls=tls[0], login=True) as (mailbox, port):
        await fault(a_channel(port, tls="starttls", user=USER, password=PASSWORD))
    assert (mailbox.mails, mailbox.logins) == ([], [])


async def test_a_refused_login_is_told_without_the_password(
    tls: tuple[ssl.SSLContext, str],
) -> None:
    context, ca = tls
    async with serving(starttls=context, login=True) as (_, port):
        channel = a_channel(port, tls="starttls", ca=ca, user=USER, password="s3cr3t-wrong")
        assert await fault(channel) == "the server refused the login (535)"
        assert "s3cr3t" not in repr(channel)


async def test_a_refused_message_is_told_with_the_servers_code() -> None:
    async with serving() as (mailbox, port):
        mailbox.refuses["DATA"] = "552 s3cr3t too much"
        assert await fault(a_channel(port)) == "the server refused the message (552)"


async def test_recipients_that_do_not_exist_are_told_and_the_others_get_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving() as (mailbox, port):
        mailbox.unknown = {"ops@example.com"}
        await a_channel(port).send("msg_1", a_content())
        assert mailbox.mails[0].rcpt_tos == ["oncall@example.com"]
        assert "1 of 2 recipients were refused (550)" in caplog.text
        mailbox.unknown = {"ops@example.com", "oncall@example.com"}
        assert await fault(a_channel(port)) == "the server refused all recipients (550)"


async def test_a_server_that_is_not_there_is_told() -> None:
    async with serving() as (_, port):
        pass
    assert (await fault(a_channel(port))).startswith("cannot send: ")


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await fault(a_channel(port, timeout_seconds=0.1)) == "no answer within 0.1 s"


async def test_a_file_of_authorities_that_is_gone_is_told(tmp_path: Path) -> None:
    channel = a_channel(1, tls="tls", ca=str(tmp_path / "none.pem"))
    assert await fault(channel) == "cannot send: FileNotFoundError"
