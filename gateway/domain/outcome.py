"""What became of a request: the value that every recorder receives once, at the end.

One object per request is filled step by step: it is what is known of a request that goes on, and the record of one that
has ended. What has a home already is not copied, and nothing is decoded or formatted: whoever wants that does it later.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Grant
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.shadow import Finding

UNMATCHED: Final = "__unmatched__"
"""The route of a request that matched none."""

FORWARD_AUTH: Final = "forward_auth"
"""The source of what was answered to a proxy that forwards by itself and asked whether it may."""


class Reply:
    """An upstream's response that reached its end, one way or another. `ended` as in `Outcome`; times in seconds."""

    __slots__ = ("ended", "status", "target", "upstream", "upstream_seconds")

    def __init__(
        self, status: int, *, ended: str, upstream: str, target: str, upstream_seconds: float
    ) -> None:
        self.status = status
        self.ended = ended
        self.upstream = upstream
        self.target = target
        self.upstream_seconds = upstream_seconds


class Outcome:
    """One request.

    Known while it goes on: `started` (monotonic seconds, the first byte of its head), `route` and `key` once they are
    known, `grant` (what it drew on its limits), `shadow` (the rules in shadow mode that would have refused it). The
    rest is set at its end: `duration` in seconds, to the last byte of the answer; `status` is what the client saw (0
    when nothing was sent); `result` is what the story came to, None for an answer of the gateway that refuses nothing;
    `reason` is set when the gateway refused, and `detail` says more, for the log alone. `head` holds what the client
    sent, raw: to be redacted before anything of it is written. `ended` is `complete`, `client_gone`, `upstream_broke`,
    `timeout` or `cut`. `generation` is the number of the configuration in force when the request began.
    """

    __slots__ = (
        "client_address",
        "detail",
        "duration",
        "ended",
        "generation",
        "grant",
        "head",
        "key",
        "peer_address",
        "reason",
        "request_bytes",
        "request_id",
        "response_bytes",
        "result",
        "route",
        "shadow",
        "started",
        "status",
    )

    client_address: str
    detail: str
    duration: float
    ended: str
    generation: int
    head: RequestHead
    peer_address: str
    reason: Reason | None
    request_bytes: int
    request_id: bytes
    response_bytes: int
    result: Denial | Reply | None
    status: int

    def __init__(self, started: float) -> None:
        self.started = started
        self.route: Route | None = None
        self.key: BoundKey | None = None
        self.grant: Grant | None = None
        self.shadow: tuple[Finding, ...] = ()

    @property
    def route_name(self) -> str:
        """The name of the route, or `__unmatched__`."""
        return UNMATCHED if self.route is None else self.route.name

    @property
    def policy(self) -> str:
        """The limit that decided, empty without one."""
        return "" if self.grant is None else self.grant.decided_by

    @property
    def source(self) -> str:
        """Who wrote the answer: `gateway` or `upstream`; `forward_auth` for what was answered to a proxy that asked."""
        if isinstance(self.result, Reply):
            return "upstream"
        return FORWARD_AUTH if self.head.is_consultation else "gateway"

    @property
    def upstream(self) -> str:
        """The upstream that it was meant for, empty without one."""
        return "" if self.result is None else self.result.upstream

    @property
    def upstream_target(self) -> str:
        """The target that answered, empty without one."""
        return self.result.target if isinstance(self.result, Reply) else ""

    @property
    def upstream_duration(self) -> float:
        """The seconds spent on the upstream, 0 when it was not contacted."""
        return 0.0 if self.result is None else self.result.upstream_seconds
