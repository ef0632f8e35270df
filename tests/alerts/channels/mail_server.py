"""A real SMTP server on loopback."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

USER, PASSWORD = "alerts", "s3cr3t-password"


class Mailbox:
    """What came; `refuses` are answers to commands by name, `unknown` recipients that do not exist."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.logins: list[tuple[str, str]] = []
        self.was_encrypted: list[bool] = []
        self.unknown: set[str] = set()
        self.refuses: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if address in self.unknown:
            return "550 no such mailbox s3cr3t"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        if "DATA" in self.refuses:
            return self.refuses["DATA"]
        self.mails.append(envelope)
        self.was_encrypted.append(session.ssl is not None)
        return "250 taken"

    def login(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == (USER, PASSWORD), handled=False)


@asynccontextmanager
async def serving(
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    login: bool = False,
) -> AsyncIterator[tuple[Mailbox, int]]:
    """Serve a mailbox; yield it and the port."""
    mailbox = Mailbox()

    def connected() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it does not know that the connection is encrypted
            return SMTP(
                mailbox,
                hostname="mail.test",
                tls_context=starttls,
                require_starttls=starttls is not None,
                authenticator=mailbox.login if login else None,
                auth_required=login,
                auth_require_tls=tls is None,
            )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connected, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield mailbox, server.sockets[0].getsockname()[1]
