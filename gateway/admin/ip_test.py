"""Address rules over the admin API: what they say to one address, and whom a new list would refuse.

Knows paths and JSON, and where lists and recent clients are found. It must not judge an address itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from aiohttp import web
from pydantic import Field

from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes
from gateway.admin.explain import Explaining
from gateway.admin.hypothetical import (
    Fields,
    address_problems,
    head_of,
    read_fields,
    running,
)
from gateway.admin.moments import moment_of
from gateway.admin.reach import Reach
from gateway.admin.reports import ROWS_MAX, SINCE_DEFAULT, logged, rows
from gateway.admin.requests import answer, read_body, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import Shape, View
from gateway.admin.whence import head_of_request, peer_address
from gateway.admin.wire import instant
from gateway.domain.address_rules import (
    NEIGHBOURHOODS_MANY,
    AddressVerdict,
    judge_address,
    neighbourhoods,
)
from gateway.domain.admin_tokens import Right
from gateway.domain.client_address import ClientAddress
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord
from gateway.domain.networks import Allowlist
from gateway.domain.queries import RequestQuery
from gateway.domain.routes import Route
from gateway.domain.tenants import Tenant
from gateway.domain.would_block import Visitors
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound
from gateway.ports import RequestLog

_SHOWN_MAX: Final = 1000
_ALLOW_MAX: Final = 256


class IpTest(Shape):
    """The body of `POST /ip-test`: an address, or a connection's peer with what its headers tell; neither: the caller.

    With `allow`, whom that list would refuse of those who came since then.
    """

    address: str = Field("", max_length=64)
    peer_address: str = Field("", max_length=64)
    headers: Fields = Field(default_factory=dict)
    key_id: str = ""
    tenant_id: str = ""
    route: str = ""
    allow: tuple[str, ...] | None = Field(None, max_length=_ALLOW_MAX)
    since: str = SINCE_DEFAULT


class DerivedView(View):
    """An address, and how it was found; empty for a unix socket."""

    address: str
    derivation: str
    is_trusted_peer: bool

    @classmethod
    def of(cls, found: ClientAddress) -> Self:
        """Show `found`."""
        return cls(
            address=found.address,
            derivation=found.derivation,
            is_trusted_peer=found.is_trusted_peer,
        )


class VerdictView(View):
    """What one list says: `mode` is `enforce`, `shadow` or `off`, `network` the entry that allows the address."""

    rule: str
    mode: str
    is_allowed: bool
    network: str | None

    @classmethod
    def of(cls, verdict: AddressVerdict) -> Self:
        """Show `verdict`."""
        return cls(
            rule=verdict.rule,
            mode=verdict.mode,
            is_allowed=verdict.is_allowed,
            network=verdict.network or None,
        )


class VisitorView(View):
    """A client whom the list would refuse."""

    client_address: str
    requests: int
    last_seen: str


class PreviewView(View):
    """Whom a list would refuse. `networks` are the places (IPv4 /24, IPv6 /48) that all of them came from."""

    since: str | None
    addresses: int
    networks: int
    is_complete: bool
    would_block: list[VisitorView]
    warnings: list[str]


class IpTestView(View):
    """What the rules say to an address; `caller` is how we see whoever asks."""

    tested: DerivedView
    is_allowed: bool
    rules: list[VerdictView]
    caller: DerivedView
    preview: PreviewView | None


class IpTestRoutes:
    """The handler of `/admin/v1/ip-test`."""

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        explaining: Explaining | None,
        requests: Callable[[], RequestLog | None],
    ) -> None:
        self._keyring = keyring
        self._explaining = explaining
        self._requests = requests

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/admin/v1/ip-test", self.test)]

    @needs(Right.AUDIT, is_filtered=True)
    @describes(Description(body=IpTest, answer=IpTestView, errors=(404, 409)))
    async def test(self, request: web.Request) -> web.Response:
        """Tell what the rules in force say to an address, and whom a list would refuse."""
        read_query(request, ())
        explaining: Explaining = running(self._explaining)
        body = await read_body(request, IpTest)
        fields = _checked(body)
        caller = await explaining.derive(peer_address(request), head_of_request(request))
        if body.address:
            tested = await explaining.derive(body.address, head_of([]))
            tested = _as_given(tested)
        elif body.peer_address or fields:
            tested = await explaining.derive(body.peer_address, head_of(fields))
        else:
            tested = caller
        reach = request[PRINCIPAL].reach
        key, tenant, route = await self._subjects(body, explaining, reach)
        verdicts = judge_address(tested.address, route=route, tenant=tenant, key=key)
        preview = None
        if body.allow is not None:
            preview = await self._preview(body, body.allow, await reach.tenant_ids())
        return answer(
            IpTestView(
                tested=DerivedView.of(tested),
                is_allowed=not any(verdict.refuses for verdict in verdicts),
                rules=[VerdictView.of(verdict) for verdict in verdicts],
                caller=DerivedView.of(caller),
                preview=preview,
            )
        )

    async def _subjects(
        self, body: IpTest, explaining: Explaining, reach: Reach
    ) -> tuple[KeyRecord | None, Tenant | None, Route | None]:
        """Return whose lists are asked: of a key also its tenant's. Raises `NotFound`."""
        keyring = self._keyring()
        if body.key_id:
            await reach.require(KeyRecord, body.key_id)
        if body.tenant_id:
            await reach.require(Tenant, body.tenant_id)
        key = await keyring.get_key(body.key_id) if body.key_id else None
        tenant_id = body.tenant_id or ("" if key is None else key.tenant_id)
        tenant = await keyring.tenants.get(tenant_id) if tenant_id else None
        route = await explaining.route(body.route) if body.route else None
        if body.route and route is None:
            raise NotFound(f"there is no route {body.route}")
        return key, tenant, route

    async def _preview(
        self, body: IpTest, entries: tuple[str, ...], within: tuple[str, ...] | None
    ) -> PreviewView:
        try:
            allowlist = Allowlist(entries)
        except ValueError as error:
            raise Refused([("/allow", str(error))]) from None
        since = moment_of(body.since, self._keyring().now(), "since")
        visitors = await self._visitors(body, since, within)
        refused = [] if not entries else [*visitors.refused_by(allowlist)]
        networks = neighbourhoods(visitors.requests)
        return PreviewView(
            since=instant(round(since)),
            addresses=len(visitors.requests),
            networks=len(networks),
            is_complete=visitors.is_complete and len(refused) <= _SHOWN_MAX,
            would_block=[
                VisitorView(client_address=address or "unix socket", requests=n, last_seen=seen)
                for address, n, seen in refused[:_SHOWN_MAX]
            ],
            warnings=_warnings(body, len(refused), len(networks)),
        )

    async def _visitors(
        self, body: IpTest, since: float, within: tuple[str, ...] | None
    ) -> Visitors:
        """Return who came since then: with the key, or with any key of the tenant."""
        log, visitors = logged(self._requests), Visitors()
        if body.key_id:
            for client in await log.clients(body.key_id, since, within):
                seen = instant(round(client["last_at"])) or ""
                visitors.add(client["client_address"], client["requests"], seen)
            return visitors
        left = ROWS_MAX
        wanted = RequestQuery(tenant_id=body.tenant_id, since=since, tenant_ids=within)
        async for row in rows(log, wanted, left + 1):
            left -= 1
            if left >= 0:
                visitors.add(row["client_address"], 1, row["ts"])
        visitors.is_complete = visitors.is_complete and left >= 0
        return visitors


def _checked(body: IpTest) -> list[tuple[str, str]]:
    """Return the header fields. Raises `Refused` for what does not go together."""
    fields, problems = read_fields(body.headers)
    problems += address_problems("/address", body.address)
    problems += address_problems("/peer_address", body.peer_address)
    if body.address and (body.peer_address or body.headers):
        problems.append(("/address", "give an address, or a peer with its headers, not both"))
    if body.allow is not None and bool(body.key_id) is bool(body.tenant_id):
        problems.append(("/allow", "whose list would it be? Give key_id or tenant_id"))
    if problems:
        raise Refused(problems)
    return fields


def _as_given(found: ClientAddress) -> ClientAddress:
    how = "it was given as the client's"
    return ClientAddress(found.address, is_trusted_peer=found.is_trusted_peer, how=how)


def _warnings(body: IpTest, refused: int, networks: int) -> list[str]:
    warnings: list[str] = []
    whose = "key" if body.key_id else "tenant"
    if refused:
        warnings.append(f"{refused} addresses that came lately would be refused")
    if networks >= NEIGHBOURHOODS_MANY:
        warnings.append(
            f"the {whose} is used from {networks} networks: a list fits servers with static addresses"
        )
    return warnings
