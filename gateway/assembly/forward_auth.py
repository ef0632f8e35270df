"""The listener for proxies that ask, put together for one data plane.

Knows which part of the configuration it goes by, and that questions are judged under the generation in force. It must
not know how a question is read.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from gateway.assembly.draft import Draft
from gateway.assembly.share import Share
from gateway.config import model
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.networks import Allowlist
from gateway.http1.request_head import HeadLimits
from gateway.listeners.exchange import Exchange
from gateway.listeners.forward_auth import QUESTION_BYTES, QUESTION_FIELDS, Questions
from gateway.listeners.peer import AddressRules
from gateway.listeners.public import ListenerSettings, PublicListener
from gateway.pipeline.handle import handle

if TYPE_CHECKING:
    from gateway.assembly.data_plane import DataPlane

_HERE: Final = ("127.0.0.0/8", "::1")
"""Proxies on this machine need no declaration: nobody else can be there."""

_ENDLESS: Final = 10**12
"""Requests and seconds of a connection: what proxies keep is theirs to close."""


def forward_auth_settings(config: model.Config, share: Share) -> ListenerSettings:
    """Return what the listener may be told while it runs: heads as large as questions about the largest are."""
    public, section = config.listeners.public, config.listeners.forward_auth
    return ListenerSettings(
        proxies_only=True,
        connections_max=share.of(section.connections_max),
        head_timeout_seconds=public.head_timeout,
        body_timeout_seconds=public.body_timeout,
        idle_timeout_seconds=section.idle_timeout,
        write_timeout_seconds=public.write_timeout,
        requests_per_connection_max=_ENDLESS,
        lifetime_seconds=float(_ENDLESS),
        head_limits=HeadLimits(
            target_bytes_max=public.target_bytes_max + QUESTION_BYTES,
            head_bytes_max=public.head_bytes_max + public.target_bytes_max + QUESTION_BYTES,
            head_fields_max=public.head_fields_max + QUESTION_FIELDS,
        ),
    )


def forward_auth_addresses(config: model.Config) -> AddressRules:
    """Return who may ask, and how they tell of their clients."""
    section = config.client_address
    resolver = ClientAddressResolver(
        Allowlist(section.trusted_proxies) if section.trusted_proxies else None,
        section.header,
        trusts_unix=True,
        trusted_peers=Allowlist(_HERE),
    )
    return AddressRules(
        resolver=resolver,
        ipv6_prefix=section.ipv6_prefix,
        traces_from=config.forwarding.traces_from,
    )


class ForwardAuth:
    """Answers proxies that ask, under the generation in force in `plane`."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._share = plane.runtime.share
        config, runtime = plane.edition.config, plane.runtime
        addresses = forward_auth_addresses(config)
        self._questions = _questions(plane.edition.draft, addresses)
        self.listener = PublicListener(
            forward_auth_settings(config, self._share),
            loop=runtime.loop,
            deadlines=runtime.deadlines,
            outbox=runtime.outbox,
            addresses=addresses,
            tell=self._tell,
            random=runtime.random,
            tls=runtime.certificates.port(
                "forward_auth", loop=runtime.loop, deadlines=runtime.deadlines
            ),
        )

    def _tell(self, exchange: Exchange) -> Any:
        return handle(self._questions.consult(exchange), self._plane.generation)

    async def accept(self, sock: socket.socket) -> None:
        """Accept connections on `sock`, which is closed when they are no longer wanted."""
        await self.listener.serve(sock, self._plane.config.listeners.public.backlog)

    def follow(self, draft: Draft) -> None:
        """Follow a changed configuration from the next question on."""
        addresses = forward_auth_addresses(draft.config)
        self.listener.follow(forward_auth_settings(draft.config, self._share), addresses)
        self._questions = _questions(draft, addresses)


def _questions(draft: Draft, addresses: AddressRules) -> Questions:
    return Questions(draft.settings.head_limits, addresses.resolver)
