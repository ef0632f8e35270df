"""The audit trail over the admin API: read it, check it, export it, prune it.

Knows paths and shapes. A token that is bound to a tenant reads the records of its tenants; the chain as a whole, which
is checked, exported and pruned, is not for it.
"""

from __future__ import annotations

from typing import Any, Final, Self

from aiohttp import web
from pydantic import AwareDatetime, Field

from gateway.admin.auth import ACTOR, PRINCIPAL
from gateway.admin.described import Description, describes, lists, shows
from gateway.admin.moments import read_moment
from gateway.admin.problems import BadRequest
from gateway.admin.requests import (
    answer,
    answer_page,
    begin_file,
    read_body,
    read_choice,
    read_dry_run,
    read_limit,
    read_query,
)
from gateway.admin.rights import needs
from gateway.admin.shapes import Shape, View
from gateway.admin.wire import instant
from gateway.audit.chain import Fault, Report
from gateway.audit.room import AuditRoom
from gateway.domain.admin_tokens import Right
from gateway.domain.audit import AuditRecord, audit_id
from gateway.domain.change import ChangeType, Order
from gateway.domain.key_rules import REASON_LENGTH_MAX
from gateway.domain.queries import AuditQuery

_PATH: Final = "/admin/v1/audit"
_ASKED: Final = ("key_id", "tenant_id", "type", "actor", "since", "until", "order")
_ORDERS: Final = ("newest", "oldest")
_SEQ_DIGITS: Final = 16


class AuditActorView(View):
    """Who did it."""

    kind: str
    name: str
    address: str
    user_agent: str
    request_id: str


class AuditView(View):
    """One record of the trail. `hash` is that of the record, `prev_hash` that of the one before, in hexadecimal."""

    id: str
    seq: int
    ts: str
    type: str
    actor: AuditActorView
    tenant_id: str
    key_id: str
    subject_id: str
    reason: str
    before: dict[str, Any]
    after: dict[str, Any]
    request_id: str
    prev_hash: str
    hash: str

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        """Return the view of a record."""
        content = record.content()
        return cls.model_validate(
            {**content, "ts": instant(content["ts"]), "hash": record.hash.hex()}
        )


class FaultView(View):
    """What is wrong, and the first record that it is about."""

    kind: str
    seq: int
    id: str
    detail: str

    @classmethod
    def of(cls, fault: Fault) -> Self:
        """Return the view of a fault."""
        return cls(kind=fault.kind, seq=fault.seq, id=audit_id(fault.seq), detail=fault.text)


class VerificationView(View):
    """What a check found: `records` were sound, `signed_seq` is the last of them that a signature covers."""

    result: str
    records: int
    first_seq: int
    last_seq: int
    checkpoints: int
    signed_seq: int
    fingerprints: list[str]
    fault: FaultView | None

    @classmethod
    def of(cls, report: Report, fingerprints: list[str]) -> Self:
        """Return the view of a report: `intact` or `changed`."""
        return cls(
            result="intact" if report.fault is None else "changed",
            records=report.records,
            first_seq=report.first_seq,
            last_seq=report.last_seq,
            checkpoints=report.checkpoints,
            signed_seq=report.signed_seq,
            fingerprints=fingerprints,
            fault=None if report.fault is None else FaultView.of(report.fault),
        )


class AuditPrune(Shape):
    """The body of `POST /audit:prune`: records older than `before` leave, up to a checkpoint."""

    before: AwareDatetime
    reason: str = Field(min_length=1, max_length=REASON_LENGTH_MAX)


class PrunedView(View):
    """What left: so many records, up to `through_seq`."""

    records: int
    through_seq: int


class AuditRoutes:
    """The handlers of `/admin/v1/audit`."""

    def __init__(self, audit: AuditRoom) -> None:
        self._audit = audit

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(_PATH, self.page, allow_head=False),
            web.get(f"{_PATH}/export", self.export, allow_head=False),
            web.post(f"{_PATH}:verify", self.verify),
            web.post(f"{_PATH}:prune", self.prune),
        ]

    @needs(Right.AUDIT, is_filtered=True)
    @lists(AuditView, *_ASKED, schemas={"order": {"enum": [*_ORDERS], "default": _ORDERS[0]}})
    async def page(self, request: web.Request) -> web.Response:
        """List records, the newest first unless `order=oldest`."""
        query = read_query(request, (*_ASKED, "limit", "cursor"))
        asked = _read_asked(query, await request[PRINCIPAL].reach.tenant_ids())
        limit, after = read_limit(query), read_cursor(query.get("cursor", ""))
        found = await self._audit.page(asked, after=after, limit=limit + 1)
        cursor = found[limit - 1].audit_id if len(found) > limit else ""
        return answer_page(map(AuditView.of, found[:limit]), cursor)

    @needs(Right.AUDIT)
    @shows(VerificationView)
    async def verify(self, request: web.Request) -> web.Response:
        """Check the whole chain."""
        read_query(request, ())
        report = await self._audit.verify()
        return answer(VerificationView.of(report, self._audit.fingerprints))

    @needs(Right.AUDIT)
    @describes(
        Description(query=("since", "reason"), errors=(409,), media=("application/x-ndjson",))
    )
    async def export(self, request: web.Request) -> web.StreamResponse:
        """Stream the chain as JSON lines that can be verified elsewhere."""
        query = read_query(request, ("since", "reason"))
        order = Order(actor=request[ACTOR], reason=query.get("reason", "")[:500])
        lines = await self._audit.export(order, read_moment(query, "since"))
        response = await begin_file(request, "application/x-ndjson", "audit.jsonl")
        async for chunk in lines:
            await response.write(chunk)
        await response.write_eof()
        return response

    @needs(Right.ADMINISTER)
    @describes(Description(body=AuditPrune, answer=PrunedView, is_act=True))
    async def prune(self, request: web.Request) -> web.Response:
        """Remove old records, up to a checkpoint."""
        body = await read_body(request, AuditPrune)
        is_dry_run = read_dry_run(request)
        order = Order(actor=request[ACTOR], reason=body.reason, is_dry_run=is_dry_run)
        pruned = await self._audit.prune(body.before.timestamp(), order)
        return answer(PrunedView(records=pruned.records, through_seq=pruned.through_seq))


def _read_asked(query: dict[str, str], tenant_ids: tuple[str, ...] | None) -> AuditQuery:
    event = query.get("type", "")
    if event and not event.endswith("*") and event not in set(ChangeType):
        raise BadRequest(400, "`type` is an event such as key.revoked, or a family such as key.*.")
    order = read_choice(query, "order", _ORDERS) or _ORDERS[0]
    return AuditQuery(
        key_id=query.get("key_id", ""),
        tenant_id=query.get("tenant_id", ""),
        type=event,
        actor=query.get("actor", ""),
        since=read_moment(query, "since"),
        until=read_moment(query, "until"),
        tenant_ids=tenant_ids,
        is_newest_first=order == _ORDERS[0],
    )


def read_cursor(cursor: str) -> int:
    """Return the number of the record behind which a list goes on, 0 for its beginning. Raises `BadRequest`."""
    if not cursor:
        return 0
    digits = cursor.removeprefix("aud_")
    if len(digits) == _SEQ_DIGITS and digits.isascii() and digits.isdigit() and int(digits):
        return int(digits)
    raise BadRequest(400, "`cursor` is not one that was given out.")
