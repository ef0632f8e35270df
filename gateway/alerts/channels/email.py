"""E-mail, handed to an SMTP server.

Knows how a message becomes a mail that no vacation answer replies to (RFC 3834), and what a server's refusal means. It
must not know when a message is repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final, Literal

import aiosmtplib

from gateway.alerts.channels.channel import Undelivered
from gateway.alerts.channels.posting import trust
from gateway.domain.alert_messages import lines_of, subject_of
from gateway.ports import Clock

SUBJECT_LENGTH_MAX: Final = 200
PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChannel:
    """Implements `Channel`. `user` is empty for no login."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    sender: str
    to: tuple[str, ...]
    timeout_seconds: float
    clock: Clock
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""

    async def send(self, message_id: str, content: Mapping[str, Any]) -> None:
        """Send a message."""
        try:
            context = None if self.tls == "none" else await trust(self.ca)
            refused, _ = await aiosmtplib.send(
                self._mail(message_id, content),
                hostname=self.host,
                port=self.port,
                use_tls=self.tls == "tls",
                start_tls=self.tls == "starttls",
                tls_context=context,
                username=self.user or None,
                password=self.password or None,
                timeout=self.timeout_seconds,
            )
        except aiosmtplib.SMTPAuthenticationError as error:
            raise Undelivered(f"the server refused the login ({error.code})") from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = sorted({each.code for each in error.recipients})
            raise Undelivered(f"the server refused all recipients ({_list(codes)})") from None
        except aiosmtplib.SMTPResponseException as error:
            raise Undelivered(f"the server refused the message ({error.code})") from None
        except (aiosmtplib.SMTPTimeoutError, TimeoutError):
            raise Undelivered(f"no answer within {self.timeout_seconds:g} s") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Undelivered(f"cannot send: {type(error).__name__}") from None
        if refused:
            codes = sorted({code for code, _ in refused.values()})
            _log.warning(
                "%d of %d recipients were refused (%s)", len(refused), len(self.to), _list(codes)
            )

    def _mail(self, message_id: str, content: Mapping[str, Any]) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = subject_of(content)[:SUBJECT_LENGTH_MAX]
        mail["Date"] = formatdate(self.clock.now())
        mail["Message-ID"] = f"<{message_id}@{self.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n".join(lines_of(content)) + "\n")
        return mail


def _list(codes: list[int]) -> str:
    return ", ".join(map(str, codes))
