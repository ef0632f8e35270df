"""Alerts over the admin API: look, acknowledge, try a channel, send a dead letter again.

Knows paths and status codes, and that a token which is bound to a tenant sees the alerts of that tenant and its
children, and none of the gateway. It must not know when an alert fires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.admin.acts import read_tenants
from gateway.admin.alert_wire import (
    AlertTest,
    AlertView,
    MessageView,
    RuleView,
    TestView,
    TriedView,
)
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes, shows
from gateway.admin.problems import BadRequest
from gateway.admin.requests import (
    answer,
    answer_page,
    order_of,
    read_body,
    read_choice,
    read_limit,
    read_query,
)
from gateway.admin.rights import needs
from gateway.admin.wire import Act
from gateway.alerts.desk import AlertDesk, Tried
from gateway.domain.admin_tokens import Right
from gateway.domain.alert_messages import MESSAGE_DEAD, MESSAGE_WAITING, Message
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alerts import Alert, AlertQuery, AlertState
from gateway.domain.change import Order
from gateway.domain.key_rules import REASON_LENGTH_MAX, Refused
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound
from gateway.ports import Conflict

_ALL: Final = "/admin/v1/alerts"
_ONE: Final = f"{_ALL}/{{alert_id:[A-Za-z0-9._-]{{1,64}}}}"
_MESSAGES: Final = f"{_ALL}/deliveries"
_MESSAGE: Final = f"{_MESSAGES}/{{message_id:[A-Za-z0-9._-]{{1,64}}}}"
_ASKED: Final = ("state", "rule", "tenant_id", "key_id")
_STATES: Final = tuple(state.value for state in AlertState)
_RULES: Final = tuple(rule.value for rule in RuleName)
_MESSAGE_STATES: Final = (MESSAGE_WAITING, MESSAGE_DEAD)
_CURSOR_LENGTH_MAX: Final = 18


class AlertRoutes:
    """The handlers of `/admin/v1/alerts`."""

    def __init__(self, desk: AlertDesk, keyring: Callable[[], Keyring]) -> None:
        self._desk = desk
        self._keyring = keyring

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; what has a name of its own stands before what is named by a variable."""
        return [
            web.get(_ALL, self.page, allow_head=False),
            web.get(f"{_ALL}/rules", self.rules, allow_head=False),
            web.get(_MESSAGES, self.messages, allow_head=False),
            web.post(f"{_MESSAGE}:retry", self.retry),
            web.post(f"{_ALL}:test", self.test),
            web.get(_ONE, self.show, allow_head=False),
            web.post(f"{_ONE}:acknowledge", self.acknowledge),
        ]

    @needs(Right.READ, is_filtered=True)
    @describes(
        Description(
            answer=AlertView,
            query=(*_ASKED, "limit", "cursor"),
            schemas={"state": {"enum": [*_STATES]}, "rule": {"enum": [*_RULES]}},
            errors=(404,),
            is_page=True,
        )
    )
    async def page(self, request: web.Request) -> web.Response:
        """List alerts, the newest first; pending ones only with `state=pending`."""
        query = read_query(request, (*_ASKED, "limit", "cursor"))
        tenant_id, within = await read_tenants(request, query)
        asked = AlertQuery(
            state=read_choice(query, "state", _STATES),
            rule=read_choice(query, "rule", _RULES),
            tenant_id=tenant_id,
            key_id=query.get("key_id", ""),
            tenant_ids=within,
        )
        before = _read_cursor(query.get("cursor", ""))
        found = await self._desk.page(asked, before=before, limit=read_limit(query))
        cursor = str(found.cursor) if found.cursor else ""
        return answer_page(map(self._view, found.alerts), cursor)

    @needs(Right.READ, is_filtered=True)
    @shows(AlertView)
    async def show(self, request: web.Request) -> web.Response:
        """Show one alert."""
        read_query(request, ())
        return answer(self._view(await self._alert(request)))

    @needs(Right.OPERATE, is_filtered=True)
    @describes(Description(body=Act, answer=AlertView, is_act=True))
    async def acknowledge(self, request: web.Request) -> web.Response:
        """Say that somebody looks after an alert that fires; it ends when what it is about is over."""
        body = await read_body(request, Act)
        order = _order(request, body.reason)
        if len(body.reason) > REASON_LENGTH_MAX or (body.reason and not body.reason.isprintable()):
            text = f"has at most {REASON_LENGTH_MAX} printable characters"
            raise Refused([("/reason", text)])
        alert = await self._alert(request)
        acknowledged = await self._desk.acknowledge(alert, order)
        if acknowledged is None:
            raise Conflict(f"alert '{alert.alert_id}' does not fire: it is {alert.state}")
        return answer(self._view(acknowledged))

    @needs(Right.READ, is_filtered=True)
    @describes(Description(answer=RuleView, query=("tenant_id",), errors=(404,), is_page=True))
    async def rules(self, request: web.Request) -> web.Response:
        """List the rules as they are set; with `tenant_id` as that tenant has them."""
        query = read_query(request, ("tenant_id",))
        asked, _ = await read_tenants(request, query)
        tenant_id = asked or request[PRINCIPAL].reach.tenant_id
        tenant = await self._keyring().tenants.get(tenant_id) if tenant_id else None
        # Who is told is the business of whoever operates the gateway.
        is_operator = request[PRINCIPAL].reach.is_everything
        rules = self._desk.rules(tenant)
        return answer_page((RuleView.of(each, with_channels=is_operator) for each in rules), "")

    @needs(Right.OPERATE)
    @describes(Description(body=AlertTest, answer=TestView, is_act=True))
    async def test(self, request: web.Request) -> web.Response:
        """Send a sample through a channel, or through those of a rule, and say what came of it."""
        body = await read_body(request, AlertTest)
        order = _order(request)
        if bool(body.channel) == bool(body.rule):
            raise Refused([("", "name either a channel or a rule")])
        if body.rule and body.rule not in _RULES:
            raise Refused([("/rule", f"is one of {', '.join(_RULES)}")])
        channels = self._desk.channels_of(channel=body.channel, rule=body.rule)
        if body.channel and not channels:
            raise Refused([("/channel", "there is no such channel in the configuration")])
        if order.is_dry_run:
            tried = [Tried(name, "not sent: a dry run") for name in channels]
        else:
            tried = await self._desk.test(channels, body.rule)
        return answer(TestView(channels=[*map(TriedView.of, tried)]))

    @needs(Right.OPERATE)
    @describes(
        Description(
            answer=MessageView,
            query=("state", "channel", "limit", "cursor"),
            schemas={"state": {"enum": [*_MESSAGE_STATES]}},
            is_page=True,
        )
    )
    async def messages(self, request: web.Request) -> web.Response:
        """List messages that are not delivered: `waiting` ones are tried again, `dead` ones are given up."""
        query = read_query(request, ("state", "channel", "limit", "cursor"))
        limit = read_limit(query)
        found = await self._desk.messages(
            state=read_choice(query, "state", _MESSAGE_STATES),
            channel=query.get("channel", ""),
            after=query.get("cursor", ""),
            limit=limit + 1,
        )
        cursor = found[limit - 1].message_id if len(found) > limit else ""
        return answer_page(map(MessageView.of, found[:limit]), cursor)

    @needs(Right.OPERATE)
    @describes(Description(answer=MessageView, is_act=True))
    async def retry(self, request: web.Request) -> web.Response:
        """Send a message again now, as if it were new."""
        order = _order(request)
        message = await self._message(request)
        return answer(MessageView.of(await self._desk.retry(message, order)))

    def _view(self, alert: Alert) -> AlertView:
        return AlertView.of(alert, self._desk.runbook_url(alert.rule))

    async def _alert(self, request: web.Request) -> Alert:
        alert_id = request.match_info["alert_id"]
        alert = await self._desk.get(alert_id)
        if alert is None or not await request[PRINCIPAL].reach.includes(alert.tenant_id):
            raise NotFound(f"there is no alert '{alert_id}'")
        return alert

    async def _message(self, request: web.Request) -> Message:
        message_id = request.match_info["message_id"]
        message = await self._desk.message(message_id)
        if message is None:
            raise NotFound(f"there is no message '{message_id}'")
        return message


def _order(request: web.Request, reason: str = "") -> Order:
    order = order_of(request, reason)
    if "If-Match" in request.headers:
        raise BadRequest(400, "There is no revision here that `If-Match` could be about.")
    return order


def _read_cursor(cursor: str) -> int:
    if not cursor:
        return 0
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_LENGTH_MAX and int(cursor):
        return int(cursor)
    raise BadRequest(400, "`cursor` is not one that was given out.")
