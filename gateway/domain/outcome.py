"""What became of a request: the value that every recorder receives once, at the end."""

from __future__ import annotations

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey


class Outcome:
    """One finished request.

    `route` is a route's name or `__unmatched__`; `status` what the client saw (0 when nothing was sent); `reason` is
    set when the gateway refused, and `detail` then says more, for the log alone; `source` is who wrote the answer,
    `gateway` or `upstream`. Times are seconds: `started_at` epoch, `duration` from the first byte of the head to the
    last byte of the answer, `upstream_duration` the part spent on the upstream (0 when it was not contacted). `target`
    is the raw request target (to be redacted before it is written). `ended` is `complete`, `client_gone`,
    `upstream_broke`, `timeout` or `cut`. `generation` is the number of the configuration in force
    when the request began.
    """

    __slots__ = (
        "client_address",
        "detail",
        "duration",
        "ended",
        "generation",
        "key",
        "method",
        "peer_address",
        "policy",
        "reason",
        "request_bytes",
        "request_id",
        "response_bytes",
        "route",
        "source",
        "started_at",
        "status",
        "target",
        "upstream",
        "upstream_duration",
        "upstream_target",
        "user_agent",
    )

    def __init__(
        self,
        *,
        request_id: str,
        method: str,
        target: bytes,
        client_address: str,
        peer_address: str,
        user_agent: bytes,
        started_at: float,
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.target = target
        self.client_address = client_address
        self.peer_address = peer_address
        self.user_agent = user_agent
        self.started_at = started_at
        self.route = "__unmatched__"
        self.status = 0
        self.reason: Reason | None = None
        self.detail = ""
        self.source = "gateway"
        self.key: BoundKey | None = None
        self.policy = ""
        self.duration = 0.0
        self.upstream = ""
        self.upstream_target = ""
        self.upstream_duration = 0.0
        self.request_bytes = 0
        self.response_bytes = 0
        self.ended = "complete"
        self.generation = 0
