"""Every "no" of the admin API: one JSON shape, whatever went wrong (RFC 9457).

Knows which error means which kind (`problem_kinds`). The dialects of the data plane have no say here. It must not
tell an outsider what only the log may know: the text of an outage or a crash stays in the log, next
to the request id that the answer names.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.admin.problem_kinds import CODES, KINDS, type_of
from gateway.config.reloading import ReloadRefused
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.redaction import without_random
from gateway.keyring.ledger import NotFound, Stale
from gateway.keyring.repeats import InProgress, Mismatch
from gateway.ports import Conflict, StoreUnavailable

SERVER: Final = "tollhouse"
"""Which versions of what run here is no business of whoever asks."""

REQUEST_ID: Final = web.RequestKey("request_id", str)

_log = logging.getLogger(__name__)


class BadRequest(Exception):
    """A request that cannot be understood; the text says how to send it, `problems` what of the body is wrong."""

    def __init__(self, status: int, detail: str, problems: Sequence[Problem] = ()) -> None:
        self.status = status
        self.problems = problems
        super().__init__(detail)


class Throttled(Exception):
    """Too much came from there, such as failed logins; `seconds` is how long to wait."""

    def __init__(
        self, seconds: int, text: str = "Too many logins from this address failed; wait."
    ) -> None:
        self.seconds = seconds
        super().__init__(text)


class AlreadyDelivered(Exception):
    """The request with this `Idempotency-Key` made `result_id`, and its answer held a secret that is kept nowhere."""

    def __init__(self, result_id: str) -> None:
        self.result_id = result_id
        super().__init__(
            f"The secret of '{result_id}' was in the answer to the first request, and nobody can read it again."
        )


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer its id and keep it out of caches; turn every error into a problem."""
    request_id = request[REQUEST_ID] = f"req_{secrets.token_hex(16)}"
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _of_http(error, request_id)
    except _KNOWN as error:
        response = _of_error(error, request_id)
    except Exception:  # noqa: BLE001 - the last resort: logged with its cause
        _log.exception("%s: the admin API failed", request_id)
        response = problem(500, "The gateway failed; the log has the cause.", request_id)
    response.headers["X-Request-Id"] = request_id
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers["Server"] = SERVER
    return response


def problem(
    status: int,
    detail: str,
    request_id: str,
    errors_of_body: Iterable[Problem] = (),
    *,
    code: str = "",
    **further: Any,
) -> web.Response:
    """Return the answer: `errors_of_body` are JSON pointers into the request's body, with what is wrong there.

    `further` are members of this problem's own (RFC 9457 section 3.2).
    """
    code = code or CODES.get(status, "error")
    body: dict[str, Any] = {
        "type": type_of(code),
        "title": KINDS[code].title,
        "status": status,
        "detail": _shown(detail),
        "code": code,
        "request_id": request_id,
    }
    errors = [
        {"pointer": _shown(pointer), "detail": _shown(text)} for pointer, text in errors_of_body
    ]
    if errors:
        body["errors"] = errors
    body |= further
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/problem+json"
    )


def _shown(text: str) -> str:
    """Return `text` without what may be the random part of a secret, and without bytes of a field that are no UTF-8."""
    return without_random(text.encode(errors="replace").decode())


def _of_http(error: web.HTTPException, request_id: str) -> web.Response:
    response = problem(error.status, _DETAILS.get(error.status, error.reason), request_id)
    for name in ("Allow", "WWW-Authenticate"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def _of_error(error: Exception, request_id: str) -> web.Response:
    if isinstance(error, Refused):
        return problem(422, "Some fields cannot be accepted.", request_id, error.problems)
    if isinstance(error, ReloadRefused):
        problems = [asdict(each) for each in error.problems]
        return problem(422, f"Not reloaded: {error}.", request_id, problems=problems)
    if isinstance(error, BadRequest):
        return problem(error.status, str(error), request_id, error.problems)
    if isinstance(error, NotFound):
        return problem(404, f"{error}.", request_id)
    if isinstance(error, Mismatch):
        return problem(422, f"{error}.", request_id, code="idempotency_key_reused")
    if isinstance(error, AlreadyDelivered):
        code = "secret_already_delivered"
        return problem(409, str(error), request_id, code=code, result_id=error.result_id)
    if isinstance(error, Conflict):
        return _of_conflict(error, request_id)
    if isinstance(error, Throttled):
        return _later(problem(429, str(error), request_id), error.seconds)
    _log.error("%s: %s", request_id, error)
    return _later(problem(503, "The key store does not answer; try again.", request_id), 1)


def _of_conflict(error: Conflict, request_id: str) -> web.Response:
    if isinstance(error, Stale):
        return problem(412, f"{error}.", request_id)
    if isinstance(error, InProgress):
        response = problem(409, f"{error}.", request_id, code="request_in_progress")
        return _later(response, 1) if error.is_retry_sensible else response
    return problem(409, f"{error}.", request_id)


def _later(response: web.Response, seconds: int) -> web.Response:
    response.headers["Retry-After"] = str(seconds)
    return response


_KNOWN: Final = (
    *(Refused, BadRequest, NotFound, Conflict, StoreUnavailable, ReloadRefused),
    *(Mismatch, AlreadyDelivered, Throttled),
)

_DETAILS: Final[Mapping[int, str]] = {
    404: "There is nothing here.",
    405: "The method is not allowed here.",
    413: "The body is longer than 64 KiB.",
}
