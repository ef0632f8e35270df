"""The story of a request, whole and in order.

    route          head -> Match             or 404 / 405
    authenticate   Match -> Principal        or 401 / 503
    represent      Principal -> Principal    or 400 / 403 / 503
    authorize      Principal -> Permit       or 403
    limit          Permit -> Admission       or 429
    forward        Admission -> Reply        or 502 / 503 / 504
    record         always, last, whatever happened

A straight line: no step writes to the response but `refuse`, `introspect`, `options`, `approve` and `forward`, and
nothing travels beside the values that the steps hand on. The common case (a known key, limits in memory, an idle
upstream connection) runs from `route` to the sent request without a single wait.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError

from gateway.domain.denial import Denial, Reason
from gateway.domain.outcome import Outcome
from gateway.pipeline.approve import approve
from gateway.pipeline.authorize import authorize
from gateway.pipeline.forward import forward
from gateway.pipeline.generation import Generation
from gateway.pipeline.introspect import introspect
from gateway.pipeline.limit import limit
from gateway.pipeline.options import options
from gateway.pipeline.record import record
from gateway.pipeline.refuse import refuse
from gateway.pipeline.route import route
from gateway.pipeline.shadow import watch
from gateway.pipeline.values import Admission, Principal, Reply
from gateway.ports import Exchange

_log = logging.getLogger(__name__)


async def handle(exchange: Exchange, generation: Generation) -> None:
    """Tell the whole story of one request; returns when its last byte is on its way and it is recorded."""
    exchange.progress = progress = Outcome(generation.clock.monotonic())
    status = 0
    try:
        result = await _tell(exchange, generation, progress)
        status = _conclude(exchange, generation, progress, result)
    except CancelledError:
        # Whoever was waited for has stopped: the process is going down.
        result = Denial(reason=Reason.SHUTTING_DOWN, internal="cancelled")
        status = _conclude(exchange, generation, progress, result)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a 500, and the cause in the log
        result = _crashed(exchange, error)
        status = _conclude_crash(exchange, generation, progress, result)
    finally:
        _release(progress, generation)
    record(exchange, generation, progress, result, status)


async def _tell(
    exchange: Exchange, generation: Generation, progress: Outcome
) -> Denial | Reply | int:
    """Take the steps in their order, each on what the one before it made."""
    head = exchange.head
    if exchange.malformed is not None:
        return exchange.malformed
    match = route(head, generation.table)
    if isinstance(match, Denial):
        return _unmatched(match, exchange, generation)
    progress.route = match.route
    found = generation.authenticator.authenticate(match, exchange.client_network)
    principal = found if isinstance(found, (Principal, Denial)) else await found
    if isinstance(principal, Denial):
        return principal
    progress.key = principal.key
    if generation.representative is not None:
        stood_for = generation.representative.represent(principal, exchange.client_network)
        principal = stood_for if isinstance(stood_for, (Principal, Denial)) else await stood_for
        if isinstance(principal, Denial):
            return principal
        progress.key = principal.key
    permit = authorize(principal, exchange.client_address, generation.barred)
    if isinstance(permit, Denial):
        return permit
    drawn = limit(permit, generation.limiter)
    admission = drawn if isinstance(drawn, (Admission, Denial)) else await drawn
    if isinstance(admission, Denial):
        return admission
    progress.grant = admission.grant
    if permit.shadow is not None:
        await watch(permit.shadow, progress, generation)
    if match.route.handler == "introspect" or head.ends_here:
        return _answer_here(admission, exchange, generation)
    return await forward(admission, exchange, generation)


def _answer_here(admission: Admission, exchange: Exchange, generation: Generation) -> int | Denial:
    if exchange.head.is_consultation:
        return approve(admission, exchange, generation)
    if admission.permit.principal.match.route.handler == "introspect":
        return introspect(admission, exchange, generation)
    return options(admission, exchange, generation)


def _unmatched(denial: Denial, exchange: Exchange, generation: Generation) -> Denial | int:
    if exchange.head.target == b"*":
        return options(None, exchange, generation)  # it asks about the server as a whole
    return denial


def _conclude(
    exchange: Exchange, generation: Generation, progress: Outcome, result: Denial | Reply | int
) -> int:
    """Answer a denial, unless the client is gone; return the status that was sent, 0 for none."""
    if isinstance(result, int):
        return result
    if isinstance(result, Reply):
        return result.status
    if exchange.is_gone:
        return 0
    return refuse(result, exchange, progress.route, progress.key, generation)


def _crashed(exchange: Exchange, error: Exception) -> Denial:
    _log.critical("request %s failed", exchange.request_id.decode("ascii"), exc_info=error)
    return Denial(reason=Reason.INTERNAL, internal=type(error).__name__)


def _conclude_crash(
    exchange: Exchange, generation: Generation, progress: Outcome, denial: Denial
) -> int:
    """Answer 500 if that is still possible, else break the connection: never leave the client waiting."""
    if not exchange.is_begun:
        try:
            return _conclude(exchange, generation, progress, denial)
        except Exception as error:  # noqa: BLE001 - what failed may well be the refusing itself
            _crashed(exchange, error)
    exchange.abort("cut")
    return 0


def _release(progress: Outcome, generation: Generation) -> None:
    grant = progress.grant
    if grant is not None and grant.held:
        generation.limiter.release(grant)
