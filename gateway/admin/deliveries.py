"""One-time links: which there are, for operators, and the two answers that whoever has a link is given.

Knows paths, status codes and which of two forms is asked for. Reading a link shows a button, or that there is nothing
to press it for, and takes nothing, because chat programs read every link that is sent. A link that is unknown, used or
expired is answered alike, read or pressed. It must not keep what a link holds, nor let it into a log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from aiohttp import web

from gateway.admin import delivery_page as page
from gateway.admin.acts import read_tenants
from gateway.admin.described import Description, describes, lists
from gateway.admin.life_wire import Delivered, DeliveryView
from gateway.admin.problems import answer_problems
from gateway.admin.requests import answer, answer_page, read_limit, read_query, read_sort
from gateway.admin.rights import needs, open_to_all
from gateway.admin.whence import Addresses, client_address
from gateway.domain.admin_tokens import Right
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.deliveries import Delivery
from gateway.domain.key_format import variable_name
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import Sort
from gateway.domain.tenants import Tenant
from gateway.keyring.ledger import NotFound, Page
from gateway.ports import StoreUnavailable

PREFIX: Final = "/delivery/"
_SORTS: Final = ("created_at", "expires_at", "redeemed_at")
_NO_BASE: Final = (
    "nobody said how your partners reach listeners.delivery: put that in front of the path of the link,"
    " or set listeners.delivery.base_url"
)
_NO_LISTENER: Final = (
    "the link leads to the admin listener, which your partners should not reach:"
    " set listeners.delivery.bind and listeners.delivery.base_url"
)
_FORM_BYTES_MAX: Final = 1024
"""A button sends nothing."""


class Link(NamedTuple):
    """A one-time link, and what whoever sends it on has to know of it."""

    url: str
    warnings: tuple[str, ...] = ()


class Taken(Protocol):
    """A key whose secret has just been made."""

    @property
    def record(self) -> KeyRecord: ...

    @property
    def secret(self) -> str: ...


class Deliveries(Protocol):
    """Who hands secrets over. Raises what the keyring raises."""

    async def redeem(self, token: str, address: str) -> Taken:
        """Return the key behind a link, once; raises `NotFound` for one that is unknown, used or expired."""
        ...

    async def is_open(self, token: str) -> bool:
        """Tell whether `redeem` would return a key now."""
        ...

    async def get(self, delivery_id: str) -> Delivery: ...

    async def page(
        self,
        *,
        tenant_id: str = "",
        tenant_ids: tuple[str, ...] | None = None,
        key_id: str = "",
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> Page[Delivery]: ...


class Tenants(Protocol):
    """Who knows what a tenant calls its variable."""

    async def get(self, tenant_id: str) -> Tenant: ...


class DeliveryRoutes:
    """The handler of `/admin/v1/deliveries`."""

    def __init__(self, deliveries: Callable[[], Deliveries], now: Callable[[], float]) -> None:
        self._deliveries = deliveries
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get("/admin/v1/deliveries", self.page, allow_head=False)]

    @needs(Right.READ, is_filtered=True)
    @lists(DeliveryView, "tenant_id", "key_id", sorts=_SORTS, errors=(404,))
    async def page(self, request: web.Request) -> web.Response:
        """List deliveries by tenant and key."""
        query = read_query(request, ("tenant_id", "key_id", "sort", "limit", "cursor"))
        tenant_id, within = await read_tenants(request, query)
        found = await self._deliveries().page(
            tenant_id=tenant_id,
            tenant_ids=within,
            key_id=query.get("key_id", ""),
            after=query.get("cursor", ""),
            limit=read_limit(query),
            sort=read_sort(query, _SORTS),
        )
        now = self._now()
        return answer_page((DeliveryView.of(each, now) for each in found.records), found.cursor)


class LinkRoutes:
    """The handlers of the links themselves; they ask for no credential but the link.

    `addresses` says whose word on the address of whoever takes a secret counts.
    """

    def __init__(
        self,
        deliveries: Callable[[], Deliveries],
        tenants: Callable[[], Tenants],
        addresses: Addresses = ClientAddressResolver,
    ) -> None:
        self._deliveries = deliveries
        self._tenants = tenants
        self._addresses = addresses

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        path = f"{PREFIX}{{token:[^/]{{1,256}}}}"
        return [web.get(path, self.offer), web.post(path, self.redeem)]

    @open_to_all
    async def offer(self, request: web.Request) -> web.Response:
        """Show the button, or say that the link gives nothing: only its holder learns that, and pressing would tell."""
        if await self._deliveries().is_open(request.match_info["token"]):
            return _html(page.offer(), 200)
        return _html(page.gone(), 404)

    @open_to_all
    @describes(Description(answer=Delivered, errors=(404,)))
    async def redeem(self, request: web.Request) -> web.Response:
        """Give the secret, once."""
        is_json = "application/json" in request.headers.get("Accept", "")
        token, address = request.match_info["token"], client_address(request, self._addresses)
        try:
            taken = await self._deliveries().redeem(token, address)
        except NotFound:
            if is_json:
                raise web.HTTPNotFound from None
            return _html(page.gone(), 404)
        record = taken.record
        export_name = await self._export_name(record)
        if not is_json:
            return _html(page.key(record.name, taken.secret, export_name), 200)
        response = answer(
            Delivered(
                key_id=record.key_id,
                name=record.name,
                secret=taken.secret,
                export_name=export_name,
            )
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def _export_name(self, record: KeyRecord) -> str:
        try:
            tenant = await self._tenants().get(record.tenant_id)
        except (NotFound, StoreUnavailable):  # the secret is made, and is worth more than the name
            return variable_name(record.format)
        return tenant.export_name or variable_name(record.format)


def link_under(token: str, base_url: str = "", *, has_listener: bool = False) -> Link:
    """Return the link of `token`; without a base only its path: nobody knows under which name we are reached.

    Without a listener of their own only the admin listener serves links.
    """
    url = f"{base_url.rstrip('/')}{PREFIX}{token}"
    if base_url:
        return Link(url)
    return Link(url, (_NO_BASE if has_listener else _NO_LISTENER,))


def create_delivery_app(links: LinkRoutes) -> web.Application:
    """Return an application that serves links and nothing else."""
    app = web.Application(middlewares=(answer_problems,), client_max_size=_FORM_BYTES_MAX)
    app.add_routes(links.routes())
    return app


def _html(text: str, status: int) -> web.Response:
    response = web.Response(
        status=status, body=text.encode(), content_type="text/html", charset="utf-8"
    )
    response.headers.update(page.headers())
    return response
