"""What would become of a request, over the admin API.

Knows paths and JSON, and that a token which is bound to a tenant is told what its tenants' keys come to, and nothing of
upstreams. It must not judge a request: what is told, the pipeline told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import Any, Final, Protocol, Self

from aiohttp import web

from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import Description, describes
from gateway.admin.hypothetical import Hypothetical, running
from gateway.admin.problems import BadRequest
from gateway.admin.requests import answer, read_body, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import Right
from gateway.domain.client_address import ClientAddress
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord
from gateway.domain.redaction import without_random
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.pipeline.explain import Asked, Explanation
from gateway.pipeline.trace import Step

_OF_UPSTREAM: Final = frozenset({"upstream", "request_line"})
"""The facts that tell of an upstream."""


class Explaining(Protocol):
    """The configuration in force, to be asked and not used."""

    def explain(self, asked: Asked) -> Awaitable[Explanation]:
        """Tell what would become of a request. Raises `NotFound` for its key."""
        ...

    def derive(self, peer: str, head: RequestHead) -> Awaitable[ClientAddress]:
        """Tell where a request with `head` comes from, on a connection from `peer`."""
        ...

    def route(self, name: str) -> Awaitable[Route | None]:
        """Return the route called `name`, or None."""
        ...


class StepView(View):
    """A step, and what it looked at; times are RFC 3339."""

    step: str
    result: str
    facts: dict[str, Any]

    @classmethod
    def of(cls, step: Step, untold: Collection[str] = ()) -> Self:
        """Show `step` without the facts that are not told."""
        facts = {name: value for name, value in step.facts.items() if name not in untold}
        return cls(step=step.name, result=step.result, facts=_timed(facts))


def _timed(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: instant(value) if name.endswith("_at") else _told(value)
        for name, value in facts.items()
    }


def _told(value: Any) -> Any:
    """Return a fact without a secret that stood where none belongs, such as in the URL."""
    return without_random(value) if isinstance(value, str) else value


class FindingView(View):
    """A rule in shadow mode that would have refused the request."""

    rule: str
    reason: str
    policy: str | None


class ExplanationView(View):
    """What would become of a request. `status` is null when the upstream decides it.

    `headers` and `body` are what the client would be sent; of a request that is forwarded only what the gateway adds.
    """

    verdict: str
    reason: str | None
    status: int | None
    generation: int
    steps: list[StepView]
    shadow: list[FindingView]
    headers: list[tuple[str, str]]
    body: str

    @classmethod
    def of(cls, told: Explanation, *, with_upstream: bool = True) -> Self:
        """Show `told`; without its upstream to whom the gateway as a whole is no business."""
        reason = told.outcome.reason
        untold = frozenset[str]() if with_upstream else _OF_UPSTREAM
        return cls(
            verdict=told.verdict,
            reason=None if reason is None else reason.value,
            status=told.status,
            generation=told.generation,
            steps=[StepView.of(step, untold) for step in told.steps],
            shadow=[
                FindingView(
                    rule=finding.kind.value,
                    reason=finding.reason.value,
                    policy=finding.policy or None,
                )
                for finding in told.outcome.shadow
            ],
            headers=_fields(told.head),
            body=told.body.decode("utf-8", "replace"),
        )


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Return the fields of a head, with or without its status line."""
    fields = []
    for line in head.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(": ")
        if colon:
            fields.append((name, value))
    return fields


class ExplainRoutes:
    """The handler of `/admin/v1/explain`; `explaining` is None where no gateway runs."""

    def __init__(self, explaining: Explaining | None) -> None:
        self._explaining = explaining

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/admin/v1/explain", self.explain)]

    @needs(Right.READ, is_filtered=True)
    @describes(Description(body=Hypothetical, answer=ExplanationView, errors=(404, 409)))
    async def explain(self, request: web.Request) -> web.Response:
        """Tell what would become of a request; nothing is counted, drawn or forwarded."""
        read_query(request, ())
        explaining: Explaining = running(self._explaining)
        asked = (await read_body(request, Hypothetical)).asked()
        reach = request[PRINCIPAL].reach
        if not (asked.key_id or reach.is_everything):
            raise Refused(
                [("/key_id", "name a key: your token explains what keys in its reach do")]
            )
        await reach.require(KeyRecord, asked.key_id)
        told = await explaining.explain(asked)
        key = told.outcome.key
        if key is not None and not await reach.includes(key.tenant.tenant_id):
            raise BadRequest(403, "The key acts for a tenant that your token does not reach.")
        return answer(ExplanationView.of(told, with_upstream=reach.is_everything))
