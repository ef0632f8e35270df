"""One configuration, ready to run: everything that is replaced when another one comes into force.

Knows what is taken over from the edition before: the pools of upstreams that did not change, and the keys in memory.
It must not change anything that runs: an edition that is not installed is closed, and nobody has noticed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.assembly import generation as build
from gateway.assembly import policy
from gateway.assembly.binder import Binder
from gateway.assembly.draft import Draft
from gateway.assembly.recorders import Recorders
from gateway.assembly.runtime import Runtime
from gateway.assembly.tracing import sampler
from gateway.config import model
from gateway.control.clock import uptime
from gateway.domain.keys import KeyRecord
from gateway.pipeline.authenticate import Authenticator, Keys
from gateway.pipeline.generation import Generation
from gateway.pipeline.represent import Acting, Representative
from gateway.ports import Clock, Limiter, Throttle, Upstream
from gateway.stores.acting import ACTING_MAX, ActingKeys, TenantLookups
from gateway.stores.cached import CachedKeys
from gateway.stores.fenced import FencedActing, FencedKeys
from gateway.upstreams.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What a configuration means, running. `services` are the upstreams by name."""

    draft: Draft
    generation: Generation
    keys: CachedKeys
    acting: ActingKeys
    services: Mapping[str, Service]

    @property
    def config(self) -> model.Config:
        """The configuration, with the running value of every key that needs a restart."""
        return self.draft.config

    def discard(self, before: Edition) -> None:
        """Close what this edition, which is not installed, does not share with the one in force."""
        for service in unshared(self, before):
            service.close()


def unshared(edition: Edition, other: Edition | None) -> list[Service]:
    """Return the upstreams of `edition` that `other` does not use."""
    shared = set(map(id, other.services.values())) if other is not None else set()
    return [service for service in edition.services.values() if id(service) not in shared]


def make_edition(draft: Draft, number: int, runtime: Runtime, before: Edition | None) -> Edition:
    """Return the edition of `draft` as generation `number`, with what is left unchanged of the one `before`.

    Raises `CannotStart` when an upstream's certificate or key cannot be used.
    """
    config = draft.config
    bind = Binder(draft.config, draft.plans, draft.scopes, number)
    keys = _keys(draft, number, runtime, before, bind)
    acting = _acting(draft, runtime, before, keys, bind)
    kept = _unchanged(draft, before) if before is not None else {}
    services = {
        name: kept.get(name) or runtime.upstreams.service(name, section)
        for name, section in config.upstreams.items()
    }
    return Edition(
        draft=draft,
        generation=make_generation(
            draft, number, runtime, *_fenced(keys, acting, runtime), services
        ),
        keys=keys,
        acting=acting,
        services=services,
    )


def _unchanged(draft: Draft, before: Edition) -> dict[str, Service]:
    return {
        name: service
        for name, service in before.services.items()
        if draft.config.upstreams.get(name) == before.config.upstreams[name]
        and draft.upstream_files[name] == before.draft.upstream_files[name]
    }


def _keys(
    draft: Draft, number: int, runtime: Runtime, before: Edition | None, bind: Binder
) -> CachedKeys:
    pepper_id = draft.peppers.current

    def rekey(record: KeyRecord, digest: bytes) -> None:
        runtime.rekey(record, digest, pepper_id)

    return CachedKeys(
        runtime.store,
        draft.peppers,
        bind,
        runtime.clock,
        size_max=draft.config.store.cache_keys_max,
        negative_ttl_seconds=draft.config.store.negative_ttl,
        rekey=rekey,
        generation=number,
        lookups=None if before is None else before.keys.lookups,
    )


def _acting(
    draft: Draft, runtime: Runtime, before: Edition | None, keys: CachedKeys, bind: Binder
) -> ActingKeys:
    if before is not None:
        return ActingKeys(before.acting.lookups, bind.act)
    store = draft.config.store
    lookups = TenantLookups(
        runtime.store,
        runtime.clock,
        keys.lookups.settling,
        negative_ttl_seconds=store.negative_ttl,
        size_max=min(store.cache_keys_max, ACTING_MAX),
    )
    acting = lookups.current = ActingKeys(lookups, bind.act)
    return acting


def _fenced(keys: CachedKeys, acting: ActingKeys, runtime: Runtime) -> tuple[Keys, Acting]:
    """Return what requests ask: memory, where others write to the store for as long as it may be believed."""
    if runtime.lease is None:
        return keys, acting
    return FencedKeys(keys, runtime.lease, uptime), FencedActing(acting, runtime.lease, uptime)


def _representative(
    config: model.Config, acting: Acting, authenticator: Authenticator
) -> Representative | None:
    selector = policy.tenant_selector(config)
    if selector is None:
        return None
    return Representative(
        selector=selector,
        acting=acting,
        authenticator=authenticator,
        checks_regular=config.tenancy.regular_keys == "check",
    )


class Surroundings(Protocol):
    """What a generation works with that outlives it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def limiter(self) -> Limiter: ...
    @property
    def throttle(self) -> Throttle: ...
    @property
    def recorders(self) -> Recorders: ...


def make_generation(
    draft: Draft,
    number: int,
    runtime: Surroundings,
    keys: Keys,
    acting: Acting,
    upstreams: Mapping[str, Upstream],
) -> Generation:
    """Return what requests are told under: `upstreams` answer, by name."""
    authenticator = Authenticator(
        formats=draft.formats,
        peppers=draft.peppers,
        keys=keys,
        throttle=runtime.throttle,
        clock=runtime.clock,
    )
    return Generation(
        number=number,
        table=draft.table,
        authenticator=authenticator,
        representative=_representative(draft.config, acting, authenticator),
        barred=draft.barred,
        limiter=runtime.limiter,
        throttle=runtime.throttle,
        border=draft.border,
        upstreams=build.upstream_choice(draft.config, upstreams),
        voices=draft.voices,
        problem=draft.problem,
        introspect=build.introspection(draft.config, runtime.clock),
        recorder=runtime.recorders.fanout,
        clock=runtime.clock,
        shadowed=runtime.recorders.shadowed,
        sampler=sampler(draft.config),
        traced=runtime.recorders.tracing.record,
    )
