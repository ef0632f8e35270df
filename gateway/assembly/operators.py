"""What operators reach: the admin API and the links that give a secret away, over a running gateway.

Knows which parts of a gateway they are shown, and by whose word their addresses are found. It must not know paths or
JSON: that is `admin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.app import create_admin_app, create_link_app
from gateway.admin.deliveries import link_under
from gateway.assembly import membership
from gateway.assembly.generation import address_rules
from gateway.assembly.key_facts import ConfiguredFacts
from gateway.config import model
from gateway.domain.client_address import ClientAddressResolver

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway


class Operators:
    """Serves whoever operates `gateway`, always by the configuration in force."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._config: model.Config | None = None
        self._known = ClientAddressResolver()

    def admin_app(self) -> web.Application:
        """Return the admin API."""
        gateway = self._gateway
        return create_admin_app(
            lambda: gateway.keyring,
            token=self._token,
            config=gateway.reloads.routes(),
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

    def link_app(self) -> web.Application:
        """Return what serves one-time links and nothing else; as the public listener, it may stand behind proxies."""
        return create_link_app(lambda: self._gateway.keyring, self._resolver)

    def link(self, token: str) -> str:
        """Return the link with which a secret is taken."""
        return link_under(token, self._gateway.config.listeners.delivery.base_url)

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
