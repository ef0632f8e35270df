"""Reading an act: a body with a reason, and the order that it is.

Knows that every act names its reason in the body. It must not know what is ordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel

from gateway.admin.auth import PRINCIPAL
from gateway.admin.problems import BadRequest
from gateway.admin.requests import order_of, read_body
from gateway.admin.wire import Act
from gateway.domain.admin_tokens import Right
from gateway.domain.change import Order
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyRecord
from gateway.domain.tenants import Tenant
from gateway.keyring.ledger import missing

A = TypeVar("A", bound=Act)


async def read_act(request: web.Request, shape: type[A]) -> tuple[A, Order]:
    """Return the body as `shape`, and who orders what it says. Raises what `read_body` raises."""
    order = order_of(request)
    body = await read_body(request, shape)
    return body, replace(order, reason=body.reason)


async def read_tenants(
    request: web.Request, query: Mapping[str, str]
) -> tuple[str, tuple[str, ...] | None]:
    """Return the tenant whose records are asked for, empty for any, and those whose records may be seen, None for all.

    Raises `NotFound` for a tenant out of reach.
    """
    reach, tenant_id = request[PRINCIPAL].reach, query.get("tenant_id", "")
    if tenant_id and not await reach.includes(tenant_id):
        raise missing(Tenant, tenant_id)
    return tenant_id, await reach.tenant_ids()


async def read_key_id(request: web.Request, query: Mapping[str, str]) -> str:
    """Return the key whose requests are asked for, empty for any. Raises `NotFound` for one out of reach.

    A request that was refused with its key has no tenant: it is seen by whoever may ask for the key.
    """
    key_id = query.get("key_id", "")
    if key_id:
        await request[PRINCIPAL].reach.require(KeyRecord, key_id)
    return key_id


async def require_for_secret(request: web.Request, key: KeyRecord) -> None:
    """Raise unless whoever asks may be given a key like this one.

    One for several tenants is for administrators (IV-14), and for those only who reach all that it acts for.
    """
    if key.kind is not KeyKind.MULTI_TENANT:
        return
    principal = request[PRINCIPAL]
    principal.require(Right.ADMINISTER)
    for tenant_id in key.tenants:
        if not await principal.reach.includes(tenant_id):
            raise BadRequest(403, "The key acts for tenants that your token does not reach.")


def require_plan(request: web.Request, tenant_id: str, plan: str, current: str = "") -> None:
    """Raise `BadRequest` (403) where a key of `tenant_id` is given another plan than its `current` one by a token that
    is bound to that tenant: the plan that others gave the tenant would limit it no longer.
    """
    if plan != current and tenant_id == request[PRINCIPAL].reach.tenant_id:
        raise BadRequest(
            403, "A token cannot choose the plan of keys of the tenant that it is bound to."
        )


@contextmanager
def named_as_in_body(names: Mapping[str, str]) -> Iterator[None]:
    """Let a refusal point to where its cause stands in the body: `names` are pointers as the keyring knows them."""
    try:
        yield
    except Refused as refused:
        problems = [(names.get(where, where), text) for where, text in refused.problems]
        raise Refused(problems) from None


def spans_of(body: BaseModel) -> dict[str, str]:
    """Return the times that a body gives as spans from now, for `named_as_in_body`."""
    spans = ("expires", "resume")
    return {
        f"/{name}_at": f"/{name}_in"
        for name in spans
        if getattr(body, f"{name}_in", None) is not None
    }


def seconds(duration: timedelta | None) -> float | None:
    """Return a duration as a number."""
    return None if duration is None else duration.total_seconds()
