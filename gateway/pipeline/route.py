"""Step 1: which route is this? Deny by default: what no route lists does not exist."""

from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.domain.routes import Match, RouteTable


def route(head: RequestHead, table: RouteTable) -> Match | Denial:
    """Match the head against the route table; no match is 404, another method is 405."""
    memo = head.memo_match
    if memo is not None and memo[0] is table:
        match: Match | Denial = memo[1]  # the same bytes under the same table match the same route
        return match
    if head.target == b"*":
        # It asks about the server as a whole (RFC 9110 section 9.3.7), which is no route.
        return Denial(reason=Reason.NO_ROUTE)
    match = table.match(head)
    head.memo_match = (table, match)
    return match
