"""Explains requests for a gateway: under the generation in force, with the keys of its store.

Knows where the parts of a rehearsal come from: the data plane of this process, or, where workers serve, another build
of the same configuration that looks into the workers' shared memory. It must not know what is told of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.assembly.binder import Binder
from gateway.assembly.draft import Draft, draft
from gateway.assembly.edition import make_generation
from gateway.assembly.recorders import Recorders
from gateway.assembly.share import Share
from gateway.assembly.upstreams import settings
from gateway.config import model
from gateway.control.beside import beside
from gateway.domain.client_address import ClientAddress
from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.tenants import Tenant
from gateway.http1.request_head import RequestHeadReader
from gateway.keyring.ledger import NotFound
from gateway.listeners.peer import Peer
from gateway.pipeline.explain import Asked, Explanation, explain
from gateway.pipeline.generation import Generation
from gateway.pipeline.rehearsal import PresentedKey, RehearsedExchange, RehearsedUpstream
from gateway.ports import Clock, KeyFinder, Limiter, Throttle

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

Looked = Callable[[model.Config, Clock], tuple[Limiter, Throttle]]
"""Returns what tells how the buckets and failures of a configuration stand, without counting."""

_UNREAD = RequestHead(method="", target=b"", path="", keeps_alive=False)


@dataclass(frozen=True, slots=True)
class _Stage:
    """What a rehearsal takes place on: a configuration, and a generation of it that may be looked at."""

    draft: Draft
    generation: Generation
    binder: Binder


@dataclass(frozen=True, slots=True)
class _Backstage:
    """Implements `edition.Surroundings` where nobody serves."""

    clock: Clock
    limiter: Limiter
    throttle: Throttle
    recorders: Recorders


class _Acting:
    """Implements `represent.Acting` for keys that are only looked at: each tenant is read anew."""

    def __init__(self, store: KeyFinder, binder: Binder) -> None:
        self._store = store
        self._binder = binder

    def peek(self, _key: BoundKey, _tenant_id: str) -> object:
        """Say that a look-up is needed."""
        return self

    async def find(self, key: BoundKey, tenant_id: str) -> BoundKey | None:
        """Return `key` as it acts for that tenant, None when it may not or there is none."""
        tenant = await self._store.get_tenant(tenant_id)
        if tenant is None or not key.record.may_act_for(tenant):
            return None
        return self._binder.act(key, tenant)


class Explainer:
    """Explains requests to `gateway`; `looked` is needed where workers serve."""

    def __init__(self, gateway: Gateway, looked: Looked | None = None) -> None:
        self._gateway = gateway
        self._looked = looked
        self._stage: _Stage | None = None

    # ---- what is asked

    async def explain(self, asked: Asked) -> Explanation:
        """Tell what would become of a request. Raises `NotFound`, `StoreUnavailable`, ValueError for no address."""
        stage = await self._set()
        key = await self._presented(asked.key_id, stage)
        head: RequestHead | Denial = RequestHeadReader(stage.draft.settings.head_limits).read(
            _with_credential(asked)
        )
        malformed = head if isinstance(head, Denial) else None
        read = _UNREAD if isinstance(head, Denial) else head
        client = Peer(stage.draft.addresses, asked.peer_address, "http").client(read)
        exchange = RehearsedExchange(
            read,
            malformed,
            client_address=client.address,
            client_network=client.network,
            peer_address=asked.peer_address,
        )
        found = stage.draft.addresses.resolver.resolve(asked.peer_address, read)
        acting = _Acting(self._gateway.store, stage.binder)
        return await explain(exchange, stage.generation, key, acting, found.derivation)

    async def derive(self, peer: str, head: RequestHead) -> ClientAddress:
        """Tell where a request with `head` comes from that came on a connection from `peer`.

        Raises ValueError for what is no address.
        """
        return (await self._set()).draft.addresses.resolver.resolve(peer, head)

    async def route(self, name: str) -> Route | None:
        """Return the route of the configuration in force that is called `name`, or None."""
        table = (await self._set()).draft.table
        return next((route for route in table.routes if route.name == name), None)

    # ---- the stage

    async def _set(self) -> _Stage:
        """Return the stage for the configuration in force, made when the first one asks for it."""
        plane, known = self._gateway.plane, self._stage
        if plane is not None:
            generation = plane.generation
            if known is None or known.generation is not generation:
                known = self._stage = self._staged(plane.edition.draft, generation)
            return known
        number, config = self._gateway.number, self._gateway.config
        if known is None or known.generation.number != number:
            known = self._stage = await self._built(number, config)
        return known

    def _staged(self, drafted: Draft, generation: Generation) -> _Stage:
        binder = Binder(drafted.config, drafted.plans, drafted.scopes, generation.number)
        return _Stage(drafted, generation, binder)

    async def _built(self, number: int, config: model.Config) -> _Stage:
        """Build what the workers have built from `config`, as far as it can be looked at."""
        gateway, looked = self._gateway, self._looked
        assert looked is not None
        share = Share(0, gateway.workers)
        drafted = await beside(draft, config, gateway.config_path, None, share)
        limiter, throttle = looked(config, gateway.clock)
        backstage = _Backstage(gateway.clock, limiter, throttle, gateway.recorders)
        upstreams = {
            name: RehearsedUpstream(name, settings(section).base_path)
            for name, section in config.upstreams.items()
        }
        nobody = PresentedKey(None, _nobody)
        binder = Binder(config, drafted.plans, drafted.scopes, number)
        acting = _Acting(gateway.store, binder)
        generation = make_generation(drafted, number, backstage, nobody, acting, upstreams)
        return _Stage(drafted, generation, binder)

    # ---- the key

    async def _presented(self, key_id: str, stage: _Stage) -> PresentedKey:
        if not key_id:
            return PresentedKey(None, _nobody)
        store = self._gateway.store
        record = await store.get_key(key_id)
        if record is None:
            raise NotFound(f"there is no key {key_id}")
        tenant = await store.get_tenant(record.tenant_id)
        if tenant is None:
            raise NotFound(f"there is no tenant {record.tenant_id}")

        async def find() -> BoundKey:
            return stage.binder(record, tenant)

        return PresentedKey(self._known(record, tenant, stage), find)

    def _known(self, record: KeyRecord, tenant: Tenant, stage: _Stage) -> BoundKey | None:
        """Return the key as those who serve have it in memory, None if they have to look it up.

        What workers have in memory is not known here: a key that is in use is. The difference is that of an address
        whose authentication failed too often, from which a key in memory is still let in.
        """
        plane = self._gateway.plane
        try:
            if plane is None:
                return stage.binder(record, tenant)
            known = plane.edition.keys.peek(record.digest)
            return known if isinstance(known, BoundKey) else None
        except (LookupError, ValueError):
            return None  # it cannot be bound: looking it up fails in the same way


async def _nobody() -> None:
    """Nobody comes with a key."""


def _with_credential(asked: Asked) -> bytes:
    """Return the head with the id of the key where its secret would stand."""
    if not asked.key_id:
        return asked.raw
    line, _, rest = asked.raw.partition(b"\r\n")
    return b"%b\r\nAuthorization: Bearer %b\r\n%b" % (line, asked.key_id.encode(), rest)
