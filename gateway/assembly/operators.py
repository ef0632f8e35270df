"""What is served beside requests: the admin API, the links that give a secret away, metrics and probes.

Knows which parts of a running gateway are shown, and by whose word the addresses of operators are found. It must not
know paths or JSON: that is `admin`. Imported when clients are served, because it brings aiohttp.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.admin.app import create_admin_app, create_link_app
from gateway.admin.callers import Callers
from gateway.admin.config import ConfigRoutes
from gateway.admin.deliveries import Link, link_under
from gateway.assembly import membership
from gateway.assembly.generation import address_rules
from gateway.assembly.key_facts import ConfiguredFacts
from gateway.assembly.listening import Listening
from gateway.config import model
from gateway.config.reloading import Reloaded
from gateway.domain.change import Actor
from gateway.domain.client_address import ClientAddressResolver
from gateway.listeners.metrics import create_metrics_app

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

CONNECTIONS_MAX: Final = {"metrics": 16, "admin": 48, "delivery": 32}
"""Most connections of each listener: together less than what `control.descriptors` keeps back for them."""


class Operators:
    """Serves whoever operates `gateway`, always by the configuration in force."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._config: model.Config | None = None
        self._known = ClientAddressResolver()

    async def serve(self, sockets: Listening, stack: AsyncExitStack) -> None:
        """Answer on all of `sockets` that are not for clients, until `stack` closes."""
        await self._serve("metrics", self.metrics_app, sockets.metrics, stack)
        await self._serve("admin", self.admin_app, [*sockets.admin, *sockets.pages], stack)
        await self._serve("delivery", self.link_app, sockets.links, stack)

    async def _serve(
        self,
        name: str,
        make: Callable[[], web.Application],
        socks: Sequence[socket.socket],
        stack: AsyncExitStack,
    ) -> None:
        """Serve what `make` returns as the listener `name`, where it has sockets."""
        if not socks:
            return
        runner = web.AppRunner(make(), access_log=None, handle_signals=False)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        callers = Callers(runner.server, CONNECTIONS_MAX[name])
        context = self._gateway.certificates.context(name)
        for sock in socks:
            server = await callers.serve(sock, context)
            stack.callback(server.close)  # before the runner ends what goes on

    def metrics_app(self) -> web.Application:
        """Return metrics and probes."""
        gateway = self._gateway
        return create_metrics_app(gateway.recorders.metrics.render, gateway.readiness, gateway.look)

    def admin_app(self) -> web.Application:
        """Return the admin API."""
        gateway = self._gateway
        return create_admin_app(
            lambda: gateway.keyring,
            token=self._token,
            config=self._config_routes(),
            upstreams=gateway.crew.overview,
            streams=gateway.crew.streams,
            workers=gateway.crew,
            nodes=membership.Register(gateway),
            link=self.link,
            audit=gateway.audit,
            request_log=gateway.request_log,
            explaining=gateway.explainer,
            addresses=self._addresses,
            settings=lambda: gateway.config,
            usage=gateway.usage.kept,
            alerts=gateway.alerting.desk,
            facts=ConfiguredFacts(lambda: gateway.config),
            untold=gateway.recorders.count_unaudited,
        )

    def _config_routes(self) -> ConfigRoutes:
        reloads = self._gateway.reloads

        async def reload(actor: Actor) -> Reloaded:
            return await reloads.reload(f"{actor.kind} {actor.name}", actor)

        return ConfigRoutes(reload, reloads.check, roll_back=reloads.roll_back, plan=reloads.plan)

    def link_app(self) -> web.Application:
        """Return what serves one-time links and nothing else; as the public listener, it may stand behind proxies."""
        return create_link_app(lambda: self._gateway.keyring, self._resolver)

    def link(self, token: str) -> Link:
        """Return the link with which a secret is taken."""
        listener = self._gateway.config.listeners.delivery
        return link_under(token, listener.base_url, has_listener=listener.bind is not None)

    def _token(self) -> str | None:
        """Return the token of the configuration, None for none."""
        return self._gateway.config.listeners.admin.token.get_secret_value() or None

    def _addresses(self) -> ClientAddressResolver:
        """Return how the addresses of operators are found: by the word of nobody, unless the configuration says so."""
        is_behind = self._gateway.config.listeners.admin.trusts_proxies
        return self._resolver() if is_behind else ClientAddressResolver()

    def _resolver(self) -> ClientAddressResolver:
        config = self._gateway.config
        if config is not self._config:
            self._config, self._known = config, address_rules(config).resolver
        return self._known
