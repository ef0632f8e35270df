"""The reasons for which a request is refused, in one table.

Knows every `Reason` with its status, who is to blame, how loudly it is logged and the text that an
outsider may read. HTTP bodies, logs, metrics, audit and the reference in `docs/` all read this
table; nothing else may map a reason to a status. It must not know how a refusal looks on the wire:
that is `dialects`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from gateway.domain.limits import Grant


class Blame(StrEnum):
    """Who could have avoided the refusal."""

    CLIENT = "client"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


class Reason(StrEnum):
    """Why a request was not answered by the upstream.

    The value is the stable machine name (metrics, logs, `type` URLs).
    """

    INVALID_REQUEST = "invalid_request"
    AMBIGUOUS_PATH = "ambiguous_path"
    MISSING_CREDENTIALS = "missing_credentials"
    MALFORMED_CREDENTIALS = "malformed_credentials"
    DUPLICATE_CREDENTIALS = "duplicate_credentials"
    BAD_CHECKSUM = "bad_checksum"
    UNKNOWN_KEY = "unknown_key"
    KEY_EXPIRED = "key_expired"
    KEY_SUSPENDED = "key_suspended"
    KEY_REVOKED = "key_revoked"
    TENANT_SUSPENDED = "tenant_suspended"
    ENV_MISMATCH = "env_mismatch"
    IP_NOT_ALLOWED = "ip_not_allowed"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    CROSS_TENANT = "cross_tenant"
    TENANT_REQUIRED = "tenant_required"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    CONCURRENCY_LIMITED = "concurrency_limited"
    AUTH_THROTTLED = "auth_throttled"
    NO_ROUTE = "no_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MISDIRECTED_REQUEST = "misdirected_request"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    HEADERS_TOO_LARGE = "headers_too_large"
    NOT_IMPLEMENTED = "not_implemented"
    VERSION_NOT_SUPPORTED = "version_not_supported"
    LOOP_DETECTED = "loop_detected"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_BAD_RESPONSE = "upstream_bad_response"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    CIRCUIT_OPEN = "circuit_open"
    NO_HEALTHY_UPSTREAM = "no_healthy_upstream"
    STORE_UNAVAILABLE = "store_unavailable"
    LIMITER_UNAVAILABLE = "limiter_unavailable"
    RECORDING_UNAVAILABLE = "recording_unavailable"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one reason means everywhere.

    `title` is constant per reason (RFC 9457 section 3.1.3); `detail` is the default public text and
    reveals nothing about keys, addresses of upstreams or the store. `remedy` is for the
    documentation: what the caller or operator does. `retry_after_seconds` is what `Retry-After`
    says when the denial itself knows nothing better; 0 sends none.
    """

    status: int
    blame: Blame
    log_level: str
    title: str
    detail: str
    remedy: str
    retry_after_seconds: int = 0


@dataclass(slots=True, kw_only=True)
class Denial:
    """A "no" as a value: the reason and what the answer may name.

    Immutable by convention, since constant ones are shared; a frozen one would take four times as long to make.

    `internal` is for the log only and never reaches a client. `retry_after_seconds` is 0 when
    waiting does not help. `allow` lists the methods for 405 (RFC 9110 section 15.5.6).
    `client_address` is told to authenticated callers only. `limit`, `remaining` and `reset_seconds`
    describe the bucket that refused (all 0 when none did); `grant` is the limiter's whole answer
    then. `key` (a `BoundKey`) is whose key was refused, for the record: no answer tells anything of it.
    """

    reason: Reason
    required_scopes: tuple[str, ...] = ()
    client_address: str = ""
    allow: tuple[str, ...] = ()
    retry_after_seconds: int = 0
    violated_policies: tuple[str, ...] = ()
    limit: int = 0
    remaining: int = 0
    reset_seconds: int = 0
    internal: str = ""
    grant: Grant | None = None
    upstream: str = ""
    upstream_seconds: float = 0.0
    key: Any = field(default=None, compare=False, repr=False)


def _verdict(
    blame: Blame,
    usual_level: str,
    status: int,
    title: str,
    detail: str,
    remedy: str,
    level: str = "",
    *,
    wait: int = 0,
) -> Verdict:
    return Verdict(
        status=status,
        blame=blame,
        log_level=level or usual_level,
        title=title,
        detail=detail,
        remedy=remedy,
        retry_after_seconds=wait,
    )


_client = partial(_verdict, Blame.CLIENT, "info")
_gateway = partial(_verdict, Blame.GATEWAY, "error")
_upstream = partial(_verdict, Blame.UPSTREAM, "warning")

_BAD_KEY: Final = "The API key is invalid."

VERDICTS: Final[dict[Reason, Verdict]] = {
    Reason.INVALID_REQUEST: _client(
        400,
        "Invalid request",
        "The request is not valid HTTP.",
        "Send a request that RFC 9112 allows; the log line names the rule that was broken.",
    ),
    Reason.AMBIGUOUS_PATH: _client(
        400,
        "Ambiguous path",
        "The request path can be read in more than one way.",
        "Send the path without dot segments, empty segments, encoded slashes or parameters, "
        "or let the route allow them.",
    ),
    Reason.MISSING_CREDENTIALS: _client(
        401,
        "Missing credentials",
        "An API key is required.",
        "Send `Authorization: Bearer <key>`.",
    ),
    Reason.MALFORMED_CREDENTIALS: _client(
        401,
        "Malformed credentials",
        _BAD_KEY,
        "Send one Bearer token of the documented alphabet and length.",
    ),
    Reason.DUPLICATE_CREDENTIALS: _client(
        400,
        "Duplicate credentials",
        "The request carries more than one credential.",
        "Send exactly one `Authorization` header.",
    ),
    Reason.BAD_CHECKSUM: _client(
        401,
        "Bad checksum",
        _BAD_KEY,
        "The key was mistyped or cut off: copy it again.",
    ),
    Reason.UNKNOWN_KEY: _client(
        401, "Unknown key", _BAD_KEY, "Check that the key belongs to this gateway."
    ),
    Reason.KEY_EXPIRED: _client(
        401, "Key expired", "The API key has expired.", "Create a new key, or extend this one."
    ),
    Reason.KEY_SUSPENDED: _client(
        401,
        "Key suspended",
        "The API key is suspended.",
        "Ask the operator to resume the key.",
    ),
    Reason.KEY_REVOKED: _client(
        401,
        "Key revoked",
        _BAD_KEY,
        "Replace the key; a revoked key never works again.",
        "warning",
    ),
    Reason.TENANT_SUSPENDED: _client(
        403,
        "Tenant suspended",
        "The account that owns the API key is suspended.",
        "Ask the operator to resume the tenant.",
    ),
    Reason.ENV_MISMATCH: _client(
        403,
        "Wrong environment",
        "The API key belongs to another environment.",
        "Use a key of the environment of the route.",
    ),
    Reason.IP_NOT_ALLOWED: _client(
        403,
        "Address not allowed",
        "The client address is not on the allowlist.",
        "Add the address to the allowlist of the key, the tenant or the route.",
    ),
    Reason.INSUFFICIENT_SCOPE: _client(
        403,
        "Insufficient scope",
        "The API key lacks a required scope.",
        "Use a key with the scopes that the answer names.",
    ),
    Reason.CROSS_TENANT: _client(
        403,
        "Another tenant",
        "The API key may not act for this tenant.",
        "Use a key of that tenant.",
        "warning",
    ),
    Reason.TENANT_REQUIRED: _client(
        400,
        "Tenant required",
        "The request must name one tenant.",
        "Name one tenant, once, where `tenancy.selector` says.",
    ),
    Reason.RATE_LIMITED: _client(
        429,
        "Rate limit exceeded",
        "Too many requests.",
        "Wait for `Retry-After` seconds, or raise the plan's rate.",
        wait=1,
    ),
    Reason.QUOTA_EXCEEDED: _client(
        429,
        "Quota exceeded",
        "The quota of this period is used up.",
        "Wait for the next period, or raise the plan's quota.",
        wait=60,
    ),
    Reason.CONCURRENCY_LIMITED: _client(
        429,
        "Too many concurrent requests",
        "Too many requests at the same time.",
        "Send fewer requests in parallel, or raise the plan's concurrency.",
        wait=1,
    ),
    Reason.AUTH_THROTTLED: _client(
        429,
        "Too many failed authentications",
        "Too many failed authentications from this address.",
        "Wait for `Retry-After` seconds and send a valid key.",
        "warning",
        wait=1,
    ),
    Reason.NO_ROUTE: _client(
        404, "No such route", "There is nothing here.", "Check the path against the route table."
    ),
    Reason.METHOD_NOT_ALLOWED: _client(
        405,
        "Method not allowed",
        "The method is not allowed here.",
        "Use a method that the `Allow` header names.",
    ),
    Reason.MISDIRECTED_REQUEST: _client(
        421,
        "Misdirected request",
        "This connection was not made for the host that the request names.",
        "Open a new connection that names the host in its TLS handshake (SNI).",
    ),
    Reason.REQUEST_TIMEOUT: _client(
        408,
        "Request timeout",
        "The request did not arrive in time.",
        "Send the whole request without long pauses.",
    ),
    Reason.BODY_TOO_LARGE: _client(
        413,
        "Body too large",
        "The request body is too large.",
        "Send a smaller body, or raise `body_bytes_max` of the route.",
    ),
    Reason.URI_TOO_LONG: _client(
        414,
        "URI too long",
        "The request target is too long.",
        "Shorten the URL, or raise `target_bytes_max`.",
    ),
    Reason.HEADERS_TOO_LARGE: _client(
        431,
        "Header fields too large",
        "The request header is too large.",
        "Send fewer or shorter fields, or raise `head_bytes_max`.",
    ),
    Reason.NOT_IMPLEMENTED: _client(
        501,
        "Not implemented",
        "The gateway does not implement this transfer coding or method.",
        "Use `chunked` as the only transfer coding.",
    ),
    Reason.VERSION_NOT_SUPPORTED: _client(
        505,
        "HTTP version not supported",
        "The gateway speaks HTTP/1.1.",
        "Use HTTP/1.1.",
    ),
    Reason.LOOP_DETECTED: _gateway(
        502,
        "Loop detected",
        "The request came back to the gateway that forwarded it.",
        "Correct the upstream address: it leads back to this gateway.",
    ),
    Reason.UPSTREAM_UNREACHABLE: _upstream(
        502,
        "Upstream unreachable",
        "The service behind the gateway could not be reached.",
        "Check the upstream; the log line says which target refused and how.",
    ),
    Reason.UPSTREAM_BAD_RESPONSE: _upstream(
        502,
        "Bad response from upstream",
        "The service behind the gateway gave an invalid answer.",
        "Check the upstream; the log line names the rule that its answer broke.",
    ),
    Reason.UPSTREAM_TIMEOUT: _upstream(
        504,
        "Upstream timeout",
        "The service behind the gateway did not answer in time.",
        "Check the upstream, or raise its `timeout`.",
    ),
    Reason.CIRCUIT_OPEN: _upstream(
        503,
        "Circuit open",
        "The service behind the gateway is failing; requests to it are paused.",
        "Check the upstream; the breaker closes by itself when it answers again.",
        wait=5,
    ),
    Reason.NO_HEALTHY_UPSTREAM: _upstream(
        503,
        "No healthy upstream",
        "No instance of the service behind the gateway is available.",
        "Check the upstream's targets and its connection limit.",
        wait=2,
    ),
    Reason.STORE_UNAVAILABLE: _gateway(
        503,
        "Key store unavailable",
        "The API key cannot be checked at the moment.",
        "Check the key store; keys that the gateway has not seen yet are refused until it answers.",
        wait=2,
    ),
    Reason.LIMITER_UNAVAILABLE: _gateway(
        503,
        "Limits unavailable",
        "The limits of the request cannot be checked at the moment.",
        "Check the gateway's log: a worker that is stopped or stuck holds some limits until it is replaced.",
        wait=1,
    ),
    Reason.RECORDING_UNAVAILABLE: _gateway(
        503,
        "Recording unavailable",
        "The request cannot be recorded at the moment.",
        "Make room for the request log, or set `on_failure.audit: drop_and_count`.",
        wait=1,
    ),
    Reason.SHUTTING_DOWN: _gateway(
        503,
        "Shutting down",
        "The gateway is shutting down.",
        "Retry: another instance will answer.",
        "info",
        wait=1,
    ),
    Reason.INTERNAL: _gateway(
        500,
        "Internal error",
        "The gateway failed.",
        "Report it with the request id; the log has the cause.",
        "critical",
    ),
}
