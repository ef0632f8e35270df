"""Alerts of a running gateway, put together: what is looked at, who is told, and where it is kept.

Knows from where the gateway's own readings come, and that everything follows the configuration in force. Of several
gateways that share the store, the leader judges what keys do, tells, and removes what is old. It must not know any
rule.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from gateway.alerts.baselines import Baselines
from gateway.alerts.board import Board
from gateway.alerts.channels.channel import Channel
from gateway.alerts.channels.log import LogChannel
from gateway.alerts.deliverer import IDLE_SECONDS, SHARED_SECONDS, Deliverer
from gateway.alerts.desk import AlertDesk
from gateway.alerts.duty import Duty
from gateway.alerts.evaluator import Evaluator, Eyes
from gateway.alerts.failures import FailedNetworks
from gateway.alerts.health import HealthLook
from gateway.alerts.lifetimes import LifetimesLook
from gateway.alerts.places import PlacesLook
from gateway.alerts.settings import AlertSettings, alert_settings
from gateway.alerts.traffic import TrafficLook
from gateway.assembly.background import last_time
from gateway.config import model
from gateway.config.places import anchored
from gateway.control.periodic import Periodic
from gateway.domain.alert_rules.health import Health
from gateway.domain.networks import network_of
from gateway.ports import Clock, KeptAlerts, UsageStore
from gateway.telemetry.readings import Readings

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

_TELL_SECONDS: Final = 1.0
"""How often channels are given their turn: how late a message is."""

_PRUNE_SECONDS: Final = 3_600.0

_LOSSES: Final = {
    "audit trail": "audit_dropped_total",
    "access log": "access_log_dropped_total",
    "request log": "request_log_dropped_total",
    "recorders": "recorder_errors_total",
}
"""What is lost where, by the metric that counts it."""


class Alerting:
    """The alerts of `gateway`, over its `usage` and what is kept in `store`."""

    def __init__(self, gateway: Gateway, usage: UsageStore, store: KeptAlerts) -> None:
        self._gateway = gateway
        self._store = store
        self._config = gateway.config
        self._settings = alert_settings(gateway.config, gateway.keyring.policies)
        self._channels = self._made_channels()
        self._messages: Mapping[tuple[str, ...], float] = {}
        is_shared = bool(gateway.config.store.url.get_secret_value())
        self._node = gateway.own.name if is_shared else ""
        metrics = gateway.recorders.metrics
        self.deliverer = Deliverer(
            settings=self.settings,
            channels=self.channels,
            outbox=store,
            clock=gateway.clock,
            new_id=lambda: f"msg_{secrets.token_hex(16)}",
            count=lambda channel, outcome: metrics.count(
                "alert_notifications_total", channel, outcome
            ),
            random=SystemRandom().random,
            leads=lambda: gateway.leads,
            idle_seconds=SHARED_SECONDS if is_shared else IDLE_SECONDS,
        )
        self.evaluator = self._evaluator(usage)
        self.desk = AlertDesk(
            alerts=store,
            outbox=store,
            settings=self.settings,
            postman=self.deliverer,
            clock=gateway.clock,
        )
        metrics.watch("alerts_firing", lambda: _by_label(self.evaluator.firing))
        metrics.watch("alert_messages", lambda: self._messages)
        metrics.watch("alerts_evaluated_timestamp_seconds", lambda: self.evaluator.looked_at)

    def _evaluator(self, usage: UsageStore) -> Evaluator:
        gateway = self._gateway
        networks = FailedNetworks(
            gateway.request_log, self._network, lambda: not self._duty().others
        )
        traffic = TrafficLook(usage, gateway.store, Baselines(usage, gateway.store), networks)
        places = PlacesLook(usage, gateway.store, traffic.refused_addresses)
        return Evaluator(
            settings=self.settings,
            eyes=Eyes(
                of_keys=(traffic, places, LifetimesLook(gateway.store)),
                health=HealthLook(self._health, self._node),
            ),
            keys=gateway.store,
            alerts=self._store,
            board=Board(lambda: f"alr_{secrets.token_hex(16)}"),
            teller=self.deliverer,
            clock=gateway.clock,
            duty=self._duty,
        )

    def _duty(self) -> Duty:
        gateway = self._gateway
        others = frozenset() if gateway.cluster is None else gateway.cluster.others
        return Duty(self._node, gateway.leads, others)

    async def start(self, tasks: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
        """Begin the work that is done again and again; it ends with `stack`, in `tasks`."""
        stack.push_async_callback(self.deliverer.close)
        everything = (
            Periodic("evaluating alerts", lambda: self.settings().every_seconds, self._look),
            Periodic("telling alerts", lambda: _TELL_SECONDS, lambda: self.deliverer.look(tasks)),
            Periodic("removing old alerts", lambda: _PRUNE_SECONDS, self._prune),
        )
        running = {work: tasks.create_task(work.run(), name=work.name) for work in everything}
        stack.push_async_callback(last_time, running)

    # ---- the configuration

    def settings(self) -> AlertSettings:
        """Return what the configuration in force says."""
        if self._gateway.config is not self._config:
            self._config = self._gateway.config
            self._settings = alert_settings(self._config, self._gateway.keyring.policies)
            self._channels = self._made_channels()
        return self._settings

    def channels(self) -> Mapping[str, Channel]:
        """Return the channels of the configuration in force."""
        self.settings()
        return self._channels

    def _made_channels(self) -> Mapping[str, Channel]:
        path, clock = self._gateway.config_path, self._gateway.clock
        return {
            name: make_channel(section, path, clock)
            for name, section in self._config.channels.items()
        }

    def _network(self, address: str) -> str:
        section = self._config.usage.networks
        try:
            return network_of(address, section.ipv4_prefix, section.ipv6_prefix)
        except ValueError:
            return ""  # a unix socket

    # ---- what is done again and again

    async def _look(self) -> None:
        await self.evaluator.look()
        counts = await self._store.message_counts()
        self._messages = {pair: float(count) for pair, count in counts.items()}

    async def _prune(self) -> None:
        if not self._gateway.leads:
            return
        before = self._gateway.clock.now() - self.settings().retention_seconds
        await self._store.prune_alerts(before)

    async def _health(self) -> Health:
        """Return the readings of this gateway, of all its processes."""
        await self._gateway.look()
        return health_of(self._gateway.recorders.metrics.crew.read())


def health_of(readings: Readings) -> Health:
    """Return what the watched metrics tell of the gateway's health; what nobody reads is well."""

    def one(name: str, otherwise: float) -> float:
        return readings.get(name, {}).get((), otherwise)

    return Health(
        store_fault="" if one("store_up", 1) else "its last contact failed",
        is_limiter_up=bool(one("limiter_up", 1)),
        snapshot_age_seconds=one("key_snapshot_age_seconds", 0),
        lost={where: sum(readings.get(metric, {}).values()) for where, metric in _LOSSES.items()},
        is_audit_intact=bool(one("audit_intact", 1)),
        revocations_pending=int(one("revocations_pending", 0)),
        is_reload_good=bool(one("config_last_reload_successful", 1)),
        upstreams={name: bool(up) for (name,), up in readings.get("upstream_up", {}).items()},
        certificates={
            (listener, host): expiry
            for (listener, host), expiry in readings.get(
                "tls_certificate_expiry_timestamp_seconds", {}
            ).items()
        },
    )


def make_channel(section: model.Channel, path: Path, clock: Clock) -> Channel:
    """Return the channel that `section` describes; relative paths start at the folder of `path`.

    Each kind brings its library (aiohttp, aiosmtplib): only the kinds that are configured are imported.
    """
    if section.webhook is not None:
        from gateway.alerts.channels.webhook import WebhookChannel

        webhook = section.webhook
        secrets_ = [webhook.secret, webhook.previous_secret]
        return WebhookChannel(
            url=webhook.url.get_secret_value(),
            secrets=tuple(each.get_secret_value() for each in secrets_ if each is not None),
            timeout_seconds=webhook.timeout,
            clock=clock,
            ca=_file(path, webhook.ca),
        )
    if section.slack is not None:
        from gateway.alerts.channels.slack import SlackChannel

        slack = section.slack
        return SlackChannel(
            url=slack.url.get_secret_value(),
            timeout_seconds=slack.timeout,
            ca=_file(path, slack.ca),
        )
    if section.email is not None:
        from gateway.alerts.channels.email import PORTS, EmailChannel

        email = section.email
        return EmailChannel(
            host=email.host,
            port=PORTS[email.tls] if email.port is None else email.port,
            tls=email.tls,
            sender=email.sender,
            to=email.to,
            timeout_seconds=email.timeout,
            clock=clock,
            user=email.user,
            password=email.password.get_secret_value(),
            ca=_file(path, email.ca),
        )
    return LogChannel()


def _file(path: Path, name: str) -> str:
    return str(anchored(path, name)) if name else ""


def _by_label(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(name,): float(count) for name, count in counts.items()}
