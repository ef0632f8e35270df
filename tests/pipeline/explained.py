"""Explains requests in a `World`, which has no sockets and no configuration file."""

from __future__ import annotations

from typing import Any

from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.request import RequestHead
from gateway.pipeline.explain import Explanation, explain
from gateway.pipeline.rehearsal import PresentedKey, RehearsedExchange
from gateway.pipeline.represent import Acting
from tests.pipeline.fakes import ADDRESS, NETWORK, REQUEST_ID
from tests.pipeline.samples import head
from tests.pipeline.world import World


async def nobody() -> None:
    """Nobody comes with a key."""


async def presented(world: World, record: KeyRecord | None) -> PresentedKey:
    """Return `record` as a request finds it: in memory if it is there."""
    if record is None:
        return PresentedKey(None, nobody)
    stored = await world.store.get_key(record.key_id)
    assert stored is not None
    tenant = await world.store.get_tenant(stored.tenant_id)
    assert tenant is not None

    async def find() -> BoundKey:
        return world._bind(stored, tenant)

    known = world.keys.peek(stored.digest)
    return PresentedKey(known if isinstance(known, BoundKey) else None, find)


class NoActing:
    """Keys that act for nobody but their own tenant."""

    def peek(self, _key: BoundKey, _tenant_id: str) -> object:
        return None

    async def find(self, _key: BoundKey, _tenant_id: str) -> BoundKey | None:
        raise AssertionError("it was told at once")


async def explained(
    world: World,
    asked: RequestHead | None = None,
    record: KeyRecord | None = None,
    *,
    malformed: Denial | None = None,
    address: str = ADDRESS,
    network: str = NETWORK,
    acting: Acting | None = None,
) -> Explanation:
    """Return what is told of a request that bears the id of `record`, or what `asked` bears."""
    exchange = RehearsedExchange(
        asked or bearing(record),
        malformed,
        client_address=address,
        client_network=network,
        peer_address="10.0.0.1",
        request_id=REQUEST_ID,
    )
    key = await presented(world, record)
    derivation = "the peer is no declared proxy"
    return await explain(exchange, world.generation, key, acting or NoActing(), derivation)


def bearing(record: KeyRecord | None, target: str = "/v1/things", **changes: Any) -> RequestHead:
    """Return a head with the id of `record` where its secret would stand."""
    return head(target, token=None if record is None else record.key_id, **changes)


def result(told: Explanation, step: str) -> str:
    """Return the result of a step."""
    return next(each.result for each in told.steps if each.name == step)


def facts(told: Explanation, step: str) -> Any:
    """Return what a step looked at."""
    return next(each.facts for each in told.steps if each.name == step)
