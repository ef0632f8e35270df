"""Alerts: channels that are used are declared, each is of one kind, and nothing travels in clear by accident."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from gateway.config.model import Channel, Config, EmailChannel, SlackChannel, WebhookChannel
from gateway.config.problems import Finding, KeyPath
from gateway.config.rules.names import Declared, undeclared
from gateway.domain.alert_rules import overrides
from gateway.domain.webhook_signature import secret_bytes
from gateway.zones import zone_named


def names(config: Config, declared: Declared) -> Iterator[Finding]:
    """Every channel that is used is declared."""
    used: list[tuple[KeyPath, str]] = [
        (("alerts", "channels", n), name) for n, name in enumerate(config.alerts.channels)
    ]
    rules = config.alerts.rules
    for rule in type(rules).model_fields:
        for n, name in enumerate(getattr(rules, rule).channels or ()):
            used.append((("alerts", "rules", rule, "channels", n), name))
    yield from undeclared("the channel", used, declared.channels, ("channels",))


def channels(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Each channel is of one kind, and can be used."""
    for name, channel in config.channels.items():
        path: KeyPath = ("channels", name)
        kinds = [kind for kind in ("webhook", "email", "slack", "log") if getattr(channel, kind)]
        if len(kinds) != 1:
            message = f"is {' and '.join(kinds)}" if kinds else "is of no kind"
            yield Finding(path, message, "write one of `webhook`, `email`, `slack` and `log: true`")
        yield from _channel(channel, path)


def _channel(channel: Channel, path: KeyPath) -> Iterator[Finding]:
    if channel.webhook is not None:
        where: KeyPath = (*path, "webhook")
        yield from _url(channel.webhook, where)
        for field in ("secret", "previous_secret"):
            secret = getattr(channel.webhook, field)
            if secret is None:
                continue
            try:
                secret_bytes(secret.get_secret_value())
            except ValueError as error:
                yield Finding((*where, field), str(error), "echo whsec_$(openssl rand -base64 32)")
    if channel.slack is not None:
        yield from _url(channel.slack, (*path, "slack"))
    if channel.email is not None:
        yield from _email(channel.email, (*path, "email"))


def _url(section: WebhookChannel | SlackChannel, path: KeyPath) -> Iterator[Finding]:
    where: KeyPath = (*path, "url")
    try:
        url: SplitResult | None = urlsplit(section.url.get_secret_value())
        port = None if url is None else url.port
    except ValueError:
        url, port = None, None
    if url is None or url.scheme not in ("http", "https") or not url.hostname or port == 0:
        yield Finding(where, "is no URL: write https://host/path")
    elif url.username is not None:
        yield Finding(where, "holds a user name: nothing but the path can be a secret there")
    elif url.scheme == "http" and not section.insecure and not _is_loopback(url.hostname):
        yield Finding(where, "would cross the network in clear", "use https, or set `insecure`")


def _email(section: EmailChannel, path: KeyPath) -> Iterator[Finding]:
    has_password = bool(section.password.get_secret_value())
    if has_password != bool(section.user):
        missing = "user" if has_password else "password"
        yield Finding((*path, missing), "is missing: a login needs both `user` and `password`")
    if section.user and section.tls == "none" and not _is_loopback(section.host):
        yield Finding((*path, "tls"), "would send the password in clear", "use starttls or tls")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def tenants(config: Config, _declared: Declared) -> Iterator[Finding]:
    """What a declared tenant says about its alerts follows the same rules as over the admin API."""
    for n, tenant in enumerate(config.bootstrap.tenants):
        for pointer, text in overrides.problems(tenant.alerts or {}, zone_named):
            steps = pointer.split("/")[1:]
            names = (step.replace("~1", "/").replace("~0", "~") for step in steps)
            below = (int(name) if name.isdigit() else name for name in names)
            yield Finding(("bootstrap", "tenants", n, "alerts", *below), text)
