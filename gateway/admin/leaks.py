"""Leaks over the admin API: tokens that were found somewhere are reported in a body, and what was reported is listed.

Knows shapes, how often somebody may report, and that no token is answered or kept: places are kept without whatever in
them could be a secret. It must not decide what is done about a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from aiohttp import web
from pydantic import AwareDatetime, Field, field_validator

from gateway.admin.acts import read_tenants
from gateway.admin.audit import read_cursor
from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes, lists
from gateway.admin.problems import BadRequest, Throttled
from gateway.admin.requests import answer, answer_page, order_of, read_body, read_limit, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import Shape, View
from gateway.admin.wire import SECRET_LENGTH_MAX, Reason, instant
from gateway.audit.room import AuditRoom
from gateway.config.model import Config
from gateway.domain.admin_tokens import Right
from gateway.domain.audit import AuditRecord
from gateway.domain.change import ChangeType
from gateway.domain.queries import AuditQuery
from gateway.domain.redaction import MASK, Redactor
from gateway.keyring.door import Keyring
from gateway.keyring.leaks import FoundToken, Leak, Policy
from gateway.limiters.throttle import AddressThrottle

REPORTS_MAX: Final = 60
REPORTS_SECONDS: Final = 60.0
"""Somebody may report so often at once, and then once a second: a hundred tokens each."""

LEAKS_MAX: Final = 100
_REPORTERS_MAX: Final = 1000
_PATH: Final = "/admin/v1/leaks"
_REASON: Final = "reported as leaked"


class FoundLeak(Shape):
    """A token, and where it was found. `type` is what a scanner takes it for; it is not kept."""

    token: str = Field(min_length=1, max_length=SECRET_LENGTH_MAX, repr=False)
    url: str = Field("", max_length=1000)
    source: str = Field("", max_length=100)
    type: str = Field("", max_length=100)
    since: AwareDatetime | None = None

    @field_validator("url")
    @classmethod
    def _is_of_the_web(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("is an http or https address")
        return url


class LeakReport(Shape):
    """The body of `POST /leaks`."""

    leaks: tuple[FoundLeak, ...] = Field(min_length=1, max_length=LEAKS_MAX)
    reason: Reason = ""


class LeakView(View):
    """What became of one token of a report, in its order. `state` is that of the key when it was reported, `done` what
    followed; `incident_id` names the incident that was opened.
    """

    result: Literal["key", "admin_token", "unknown"]
    key_id: str | None
    token_id: str | None
    tenant_id: str | None
    name: str | None
    display: str | None
    state: str | None
    done: str
    incident_id: str | None
    is_everywhere: bool

    @classmethod
    def of(cls, leak: Leak) -> Self:
        """Show a leak."""
        record = leak.key or leak.admin_token
        return cls(
            result="key" if leak.key else "admin_token" if leak.admin_token else "unknown",
            key_id=leak.key.key_id if leak.key else None,
            token_id=leak.admin_token.token_id if leak.admin_token else None,
            tenant_id=record.tenant_id if record else None,
            name=record.name if record else None,
            display=record.display if record else None,
            state=str(leak.state) if leak.state else None,
            done=leak.done,
            incident_id=leak.incident_id or None,
            is_everywhere=leak.is_everywhere,
        )


class LeaksView(View):
    """The answer to `POST /leaks`."""

    policy: Policy
    leaks: tuple[LeakView, ...]


class ReportedLeakView(View):
    """A leak as it was reported. `state` is that of the key then, `policy` what was to be done."""

    id: str
    reported_at: str
    reported_by: str
    key_id: str | None
    token_id: str | None
    tenant_id: str | None
    display: str
    state: str | None
    policy: str | None
    url: str
    source: str
    since: str | None
    reason: str

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        """Show what a record of the audit trail tells."""
        content = record.content()
        after: Mapping[str, Any] = content["after"]
        return cls(
            id=record.audit_id,
            reported_at=str(instant(record.at)),
            reported_by=record.actor,
            key_id=record.key_id or None,
            token_id=content["subject_id"] or None,
            tenant_id=record.tenant_id or None,
            display=after.get("display", ""),
            state=after.get("state"),
            policy=after.get("policy"),
            url=after.get("url", ""),
            source=after.get("source", ""),
            since=instant(after.get("since")),
            reason=content["reason"],
        )


class LeakRoutes:
    """The handlers of `/admin/v1/leaks`."""

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        audit: AuditRoom,
        settings: Callable[[], Config] | None = None,
    ) -> None:
        self._keyring = keyring
        self._audit = audit
        self._settings = settings
        clock = keyring().admin_tokens.clock
        self._throttle = AddressThrottle(clock, REPORTS_MAX, REPORTS_SECONDS, _REPORTERS_MAX)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post(_PATH, self.report), web.get(_PATH, self.page, allow_head=False)]

    @needs(Right.OPERATE, is_filtered=True)
    @describes(Description(body=LeakReport, answer=LeaksView, is_act=True))
    async def report(self, request: web.Request) -> web.Response:
        """Say which keys tokens are that were found somewhere, and do about them what `policies.leaks` says."""
        order = order_of(request)
        if order.expected_revision is not None:
            raise BadRequest(400, "A report has no revision that `If-Match` could be about.")
        wait = self._throttle.failed(order.actor.name)
        if wait:
            raise Throttled(wait, "Too many reports came from this token; wait.")
        body = await read_body(request, LeakReport)
        config = None if self._settings is None else self._settings()
        policy: Policy = "report" if config is None else config.policies.leaks
        redactor = _redactor(config)
        found = [_found(each, redactor) for each in body.leaks]
        within = await request[PRINCIPAL].reach.tenant_ids()
        order = replace(order, reason=redactor.redact(body.reason) or _REASON)
        leaks = await self._keyring().leaks.report(found, policy, order, within)
        return answer(LeaksView(policy=policy, leaks=tuple(map(LeakView.of, leaks))))

    @needs(Right.READ, is_filtered=True)
    @lists(ReportedLeakView, "tenant_id", "key_id", errors=(404,))
    async def page(self, request: web.Request) -> web.Response:
        """List the leaks that were reported, the latest first."""
        query = read_query(request, ("tenant_id", "key_id", "limit", "cursor"))
        tenant_id, within = await read_tenants(request, query)
        limit = read_limit(query)
        asked = AuditQuery(
            type=ChangeType.KEY_LEAK_REPORTED,
            tenant_id=tenant_id,
            key_id=query.get("key_id", ""),
            tenant_ids=within,
            is_newest_first=True,
        )
        after = read_cursor(query.get("cursor", ""))
        rows = await self._audit.page(asked, after=after, limit=limit + 1)
        cursor = rows[limit - 1].audit_id if len(rows) > limit else ""
        return answer_page(map(ReportedLeakView.of, rows[:limit]), cursor)


def _redactor(config: Config | None) -> Redactor:
    sections = () if config is None else config.key_formats.values()
    return Redactor((section.prefix, section.environments) for section in sections)


def _found(leak: FoundLeak, redactor: Redactor) -> FoundToken:
    def cleaned(text: str) -> str:
        return redactor.redact(text.replace(leak.token, MASK))

    return FoundToken(
        token=leak.token.encode(),
        url=cleaned(_without_query(leak.url)),
        source=cleaned(leak.source),
        since=None if leak.since is None else leak.since.timestamp(),
    )


def _without_query(url: str) -> str:
    """Return the address of a page without what may be a secret of its own: user and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
