"""Channels: how alerts reach people and programs. Their secrets stand here, and nowhere else."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from gateway.config.sections.base import Section
from gateway.config.sections.values import Count, Duration, Flag, Label, Secret, Text

Address = Annotated[
    str,
    Text(r"[^\s@<>,;]{1,64}@[^\s@<>,;]{1,189}", "a mailbox: name@host"),
    Label("mailbox"),
]
"""A mailbox, `name@host`."""


class WebhookChannel(Section):
    """A signed webhook (Standard Webhooks): one JSON message per POST, with its id, a time and a signature."""

    may_be_empty: ClassVar[bool] = False

    url: Secret
    """Where to. `https`, or `http` on loopback. Redirects are not followed, and proxies of the environment not used."""
    secret: Secret
    """Signs each message: `whsec_` and 24 to 64 bytes in Base64, such as `echo whsec_$(openssl rand -base64 32)`."""
    previous_secret: Secret | None = None
    """Signs as well, while receivers move to another `secret`."""
    timeout: Duration = 10.0
    """How long the receiver may take."""
    ca: str = ""
    """File of the certificates (PEM) that the receiver's is checked by. Empty: those of the system."""
    insecure: Flag = False
    """Allow `http` beyond loopback: whoever listens reads the alerts, but cannot forge one."""


class SlackChannel(Section):
    """A webhook that takes Slack's format, as Mattermost, Rocket.Chat and others do."""

    may_be_empty: ClassVar[bool] = False

    url: Secret
    """Where to. It is a secret: whoever has it can write there."""
    timeout: Duration = 10.0
    """How long the receiver may take."""
    ca: str = ""
    """File of the certificates (PEM) that the receiver's is checked by. Empty: those of the system."""
    insecure: Flag = False
    """Allow `http` beyond loopback: whoever listens can write there, too."""


class EmailChannel(Section):
    """E-mail, handed to a server (SMTP)."""

    may_be_empty: ClassVar[bool] = False

    host: Annotated[str, Field(min_length=1)]
    """The server."""
    port: Annotated[Count, Field(le=65_535)] | None = None
    """Its port. Null: 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` begins in clear and refuses to go on so; `tls` is encrypted from the first byte; `none` never."""
    ca: str = ""
    """File of the certificates (PEM) that the server's is checked by. Empty: those of the system."""
    user: str = ""
    """Name to log in with. Empty: no login."""
    password: Secret = SecretStr("")
    """Password to log in with."""
    sender: Address
    """Who it is from."""
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]
    """Who gets it."""
    timeout: Duration = 30.0
    """How long the server may take for each step."""


class Channel(Section):
    """One way to tell of alerts: exactly one of `webhook`, `email`, `slack` and `log`."""

    may_be_empty: ClassVar[bool] = False

    webhook: WebhookChannel | None = None
    """A signed webhook."""
    email: EmailChannel | None = None
    """E-mail."""
    slack: SlackChannel | None = None
    """A webhook in Slack's format."""
    log: Flag = False
    """The log of the gateway, one line per alert."""
    severity_min: Literal["info", "warning", "critical"] = "info"
    """Less urgent alerts are not told here."""
    tenants: tuple[str, ...] = ()
    """Only alerts of these tenants are told here. Empty: those of all tenants, and of the gateway."""
    resolved: Flag = True
    """Tell also that an alert is over."""
    every: Duration = 60.0
    """At most one message in this time: what comes meanwhile is told together, the first 50 in full."""
    attempts: Annotated[Count, Field(le=50)] = 10
    """How often a message is tried, with growing pauses; then it is a dead letter, which can be sent again."""
