"""Alerts and channels: declared names, one kind each, nothing in clear by accident, tenants' own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import authority, trust
from tests.config.sample import loaded, problems, said

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = f"webhook: {{url: 'https://hooks.example.com/x', secret: {SECRET}}}"
MAIL = "host: smtp.example.com, sender: a@example.com, to: [b@example.com]"


def channel(text: str) -> str:
    return f"channels: {{ops: {{{text}}}}}\n"


def test_alerts_are_on_and_tell_nobody_by_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config.alerts.enabled
    assert (config.alerts.channels, config.channels) == ((), {})


def test_names_of_channels_are_declared(tmp_path: Path) -> None:
    text = (
        channel("log: true")
        + "alerts: {channels: [opps], rules: {UpstreamDown: {channels: [ops, pager]}}}\n"
    )
    assert said(tmp_path, text) == [
        "alerts.channels[0]: the channel 'opps' is not declared in `channels` (did you mean 'ops'?)",
        "alerts.rules.UpstreamDown.channels[1]: the channel 'pager' is not declared in `channels`"
        " (known here: ops)",
    ]


def test_a_channel_with_a_mistake_is_declared_all_the_same(tmp_path: Path) -> None:
    text = channel("log: 7") + "alerts: {channels: [ops]}\n"
    assert len(said(tmp_path, text)) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("every: 1m", "channels.ops: is of no kind (write one of `webhook`, `email`, `slack` and"),
        (f"log: true, {HOOK}", "channels.ops: is webhook and log (write one of"),
        (
            "webhook: {url: 'http://hooks.example.com/x', secret: " + SECRET + "}",
            "channels.ops.webhook.url: would cross the network in clear (use https, or set `insecure`)",
        ),
        ("slack: {url: 'ftp://x/'}", "channels.ops.slack.url: is no URL: write https://host/path"),
        ("slack: {url: 'https://'}", "channels.ops.slack.url: is no URL: write https://host/path"),
        ("slack: {url: 'https://[x'}", "channels.ops.slack.url: is no URL"),
        ("slack: {url: 'https://h:99999/'}", "channels.ops.slack.url: is no URL"),
        ("slack: {url: 'https://h:0/'}", "channels.ops.slack.url: is no URL"),
        (
            "slack: {url: 'https://me:pass@h/'}",
            "channels.ops.slack.url: holds a user name: nothing but the path can be a secret there",
        ),
        (
            "webhook: {url: 'https://h/', secret: geheim}",
            "channels.ops.webhook.secret: must begin with whsec_ (echo",
        ),
        (
            "webhook: {url: 'https://h/', secret: " + SECRET + ", previous_secret: whsec_AAAA}",
            "channels.ops.webhook.previous_secret: must hold 24 to 64 bytes (echo",
        ),
        (
            f"email: {{{MAIL}, user: me}}",
            "channels.ops.email.password: is missing: a login needs both `user` and `password`",
        ),
        (
            f"email: {{{MAIL}, password: x}}",
            "channels.ops.email.user: is missing: a login needs both `user` and `password`",
        ),
        (
            f"email: {{{MAIL}, tls: none, user: me, password: x}}",
            "channels.ops.email.tls: would send the password in clear (use starttls or tls)",
        ),
        (
            "email: {host: h, sender: a, to: [b@example.com]}",
            "channels.ops.email.sender: must be a mailbox: name@host",
        ),
        (
            "email: {host: h, sender: a@example.com, to: ['b@example.com, c@example.com']}",
            "channels.ops.email.to[0]: must be a mailbox: name@host",
        ),
        ("email: {host: h, sender: a@example.com, to: []}", "channels.ops.email.to: "),
    ],
)
def test_a_channel_that_cannot_work_or_gives_something_away_is_refused(
    tmp_path: Path, text: str, line: str
) -> None:
    [found] = said(tmp_path, channel(text))
    assert found.startswith(line), found


@pytest.mark.parametrize(
    "text",
    [
        HOOK,
        "log: true, severity_min: critical, tenants: [ten_a], resolved: false",
        "webhook: {url: 'http://127.0.0.1:9000/x', secret: " + SECRET + "}",
        "slack: {url: 'http://[::1]:9000/x'}",
        "slack: {url: 'http://localhost/x'}",
        "slack: {url: 'http://chat.internal/x', insecure: true}",
        f"email: {{{MAIL}}}",
        f"email: {{{MAIL}, tls: tls, port: 2465, user: me, password: x}}",
        f"email: {{{MAIL.replace('smtp.example.com', '127.0.0.1')}, tls: none, user: u, password: x}}",
    ],
)
def test_what_works_is_accepted(tmp_path: Path, text: str) -> None:
    assert said(tmp_path, channel(text)) == []


def test_no_message_repeats_a_secret(tmp_path: Path) -> None:
    text = channel(
        "webhook: {url: 'http://hooks.example.com/s3cr3t', secret: whsec_s3cr3t, timeout: s3cr3t}"
    )
    assert not [line for line in map(str, problems(tmp_path, text)) if "s3cr3t" in line]


def test_the_authorities_of_a_channel_are_read_before_they_are_needed(tmp_path: Path) -> None:
    trust(tmp_path, authority(), "ca.pem")
    good = "webhook: {url: 'https://h/', secret: " + SECRET + ", ca: ca.pem}"
    assert said(tmp_path, channel(good)) == []
    [line] = said(tmp_path, channel(good.replace("ca.pem", "none.pem")))
    assert line.startswith("channels.ops.webhook.ca: ")
    assert "none.pem' does not exist" in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("alerts: {every: 2h}", "alerts.every: must be an hour or less"),
        ("alerts: {retention: 1h}", "alerts.retention: must be a day or more"),
        (
            "alerts: {rules: {ApiKeyUnusualVolume: {factor: 0.5}}}",
            "alerts.rules.ApiKeyUnusualVolume.factor: must be at least 1",
        ),
        (
            "alerts: {rules: {ApiKeyUnusualVolum: {}}}",
            "alerts.rules.ApiKeyUnusualVolum: unknown key (did you mean 'ApiKeyUnusualVolume'?)",
        ),
        (
            "alerts: {rules: {UpstreamDown: {except_tags: [x]}}}",
            "alerts.rules.UpstreamDown.except_tags: unknown key",
        ),
    ],
)
def test_bad_values_are_told_with_their_place(tmp_path: Path, text: str, line: str) -> None:
    [found] = said(tmp_path, text + "\n")
    assert found.startswith(line), found


def tenant(alerts: str) -> str:
    return f"bootstrap: {{tenants: [{{id: a, name: A, alerts: {alerts}}}]}}\n"


def test_what_a_declared_tenant_says_follows_the_rules_of_the_admin_api(tmp_path: Path) -> None:
    good = "{time_zone: Europe/Berlin, rules: {ApiKeyUnusualVolume: {factor: 2}}}"
    assert said(tmp_path, tenant(good)) == []
    assert loaded(tmp_path, tenant("null")).bootstrap.tenants[0].alerts is None
    [line] = said(tmp_path, tenant("{rules: {ApiKeyUnusualVolume: {factor: 0}}}"))
    assert line.startswith(
        "bootstrap.tenants[0].alerts.rules.ApiKeyUnusualVolume.factor: must lie between 1"
    )
    [line] = said(tmp_path, tenant("{holidays: ['2026-12-25', christmas]}"))
    assert line.startswith("bootstrap.tenants[0].alerts.holidays[1]: is no date")
