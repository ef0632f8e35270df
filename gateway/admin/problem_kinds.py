"""The kinds of "no" that the admin API knows: one table for its answers, its OpenAPI document and the reference.

Knows the stable names of each: `code`, and `type`, a URN made of it (RFC 9457 section 3.1.1). Neither depends on a
setting. It must not know which error means which kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_URN: Final = "urn:tollhouse:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: the status it comes with, its title, and what whoever asked can do."""

    status: int
    title: str
    remedy: str


KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request": Kind(
        400,
        "The request cannot be understood",
        "Send it as `detail` says; the same will fail again.",
    ),
    "unauthorized": Kind(
        401,
        "No valid admin token came with the request",
        "Send a token: `Authorization: Bearer tha_...`.",
    ),
    "forbidden": Kind(
        403,
        "The token does not allow this",
        "Ask somebody whose token has the role that the OpenAPI document names, or is not bound to a tenant.",
    ),
    "not_found": Kind(
        404, "There is no such thing, or not for this token", "Look the id up in the list."
    ),
    "method_not_allowed": Kind(
        405, "The method is not allowed here", "Use one of those that `Allow` names."
    ),
    "request_timeout": Kind(
        408, "The body came too slowly", "Send it again, at once: `detail` says within which time."
    ),
    "conflict": Kind(
        409,
        "The state of the record does not allow this",
        "Read the record again: `detail` says what is in the way.",
    ),
    "request_in_progress": Kind(
        409,
        "A request with this `Idempotency-Key` has not ended",
        "Ask again after `Retry-After`; without that field, look whether it was done.",
    ),
    "secret_already_delivered": Kind(
        409,
        "The secret was in the first answer",
        "Take it from there. If it is lost, rotate the key that `result_id` names.",
    ),
    "stale": Kind(
        412,
        "The record has changed meanwhile",
        "Read it again, and decide by what it is now (`If-Match`).",
    ),
    "body_too_large": Kind(
        413, "The body is too large", "Send less: `detail` says how much is read."
    ),
    "unsupported_media_type": Kind(
        415, "The body is of another kind than this reads", "Send `Content-Type: application/json`."
    ),
    "misdirected": Kind(
        421, "This listener does not answer to that host", "Ask for the name that the listener has."
    ),
    "validation_failed": Kind(
        422,
        "Values break a rule",
        "Correct what `errors` names by JSON pointers, or `problems` by file and line.",
    ),
    "idempotency_key_reused": Kind(
        422,
        "The `Idempotency-Key` belongs to another request",
        "Take a new one for another request.",
    ),
    "throttled": Kind(
        429, "Too many attempts from there", "Wait for as long as `Retry-After` says."
    ),
    "internal": Kind(
        500,
        "The gateway failed",
        "Its log has the cause, under the `request_id`. It may have happened.",
    ),
    "store_unavailable": Kind(
        503, "The key store does not answer", "Ask again after `Retry-After`; look at `/readyz`."
    ),
    "error": Kind(0, "Another HTTP error", "`status` and `detail` say what."),
}
"""Code -> kind; clients switch on `type` or `code`, people read `detail`."""

CODES: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    412: "stale",
    413: "body_too_large",
    415: "unsupported_media_type",
    421: "misdirected",
    422: "validation_failed",
    429: "throttled",
    500: "internal",
    503: "store_unavailable",
}
"""Status -> code, where nothing more is known."""

_HEAD: Final = """# Problems of the admin API

Every error of the admin API is `application/problem+json` (RFC 9457), whatever dialect the routes speak. `type` and
`code` are stable, and mean the same; `title` belongs to the type, `detail` to the occurrence. Further members: `errors`
(JSON pointers into the body that was sent), `problems` (mistakes in a configuration), `result_id`. Refusals of the data
plane have [reasons](reasons.md) instead. Generated from the code: do not edit.

| `type` | `code` | Status | Title | What to do |
|---|---|---:|---|---|
"""


def type_of(code: str) -> str:
    """Return the URI of a kind."""
    return _URN + code


def render_problems_reference() -> str:
    """Return the Markdown page."""
    rows = [
        f"| `{type_of(code)}` | `{code}` | {kind.status or 'any'} | {kind.title} | {kind.remedy} |"
        for code, kind in KINDS.items()
    ]
    return _HEAD + "\n".join(rows) + "\n"
