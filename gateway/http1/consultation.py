"""What a proxy asks that wants to know whether it may let a request through: the request that its client sent.

Knows how nginx, Traefik, Caddy and Envoy tell of it. Each has a path of its own here, so that the operator decides
which fields are read, and a client cannot: a proxy passes on whatever fields its client sends, and sets only its own.
It must not know who may ask, nor what is decided.

    /nginx            X-Original-Method, X-Original-URI, Host      auth_request
    /traefik, /caddy  X-Forwarded-Method, -Uri, -Host              ForwardAuth, forward_auth
    /envoy<path>      the method and the path themselves, Host     ext_authz over HTTP, with path_prefix /envoy
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.domain.passage import HOP_BY_HOP
from gateway.domain.request import RequestHead

NGINX: Final = b"/nginx"
ENVOY: Final = b"/envoy"


class Telling(NamedTuple):
    """The fields, in lower case, in which a proxy tells method, target and host; no `host` is that of the question."""

    method: bytes
    target: bytes
    host: bytes


_TELLINGS: Final = {
    NGINX: Telling(b"x-original-method", b"x-original-uri", b"x-original-host"),
    b"/traefik": Telling(b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host"),
    b"/caddy": Telling(b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host"),
}

_OF_THE_QUESTION: Final = frozenset(
    {
        *HOP_BY_HOP,
        *(b"host", b"content-length", b"expect", b"max-forwards", b"x-request-id", b"forwarded"),
        *(b"x-real-ip", b"via"),
    }
)
_FAMILIES: Final = (b"x-forwarded-", b"x-original-", b"x-envoy-")
"""Fields that belong to the question, or that only proxies write: no part of what the client asked for."""


class Unanswerable(ValueError):
    """A question that does not say what it is about; the text is for the log of whoever set up the proxy."""


def asked(question: RequestHead) -> bytes:
    """Return the head of the request that `question` is about, as raw bytes that were not judged yet.

    Raises `Unanswerable` when the proxy does not say what its client asked for, or says it twice.
    """
    method, target, host = _told(question)
    if not target.startswith(b"/"):
        raise Unanswerable("the target of the client's request does not begin with `/`")
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, host)]
    lines += [
        b"%b: %b\r\n" % (name, value)
        for lower, name, value in question.fields
        if not (
            lower in _OF_THE_QUESTION
            or lower.startswith(_FAMILIES)
            or lower in question.connection_options
        )
    ]
    lines.append(b"\r\n")
    return b"".join(lines)


def is_from_nginx(question: RequestHead) -> bool:
    """Tell whether nginx asks, which understands few answers."""
    return _path(question) == NGINX


def _path(question: RequestHead) -> bytes:
    # Caddy appends the query of its client, which says nothing here.
    return question.target.partition(b"?")[0]


def _told(question: RequestHead) -> tuple[bytes, bytes, bytes]:
    target = question.target
    if target.startswith(ENVOY + b"/"):
        return question.method.encode("ascii"), target.removeprefix(ENVOY), question.authority
    telling = _TELLINGS.get(_path(question))
    if telling is None:
        known = ", ".join(path.decode() for path in (*_TELLINGS, ENVOY))
        raise Unanswerable(f"nobody is told of under this path: {known} are known")
    hosts = question.values(telling.host)
    if len(hosts) > 1:
        raise Unanswerable(f"{telling.host.decode()} comes twice")
    host = hosts[0] if hosts and hosts[0] else question.authority
    return _one(question, telling.method), _one(question, telling.target), host


def _one(question: RequestHead, name: bytes) -> bytes:
    values = question.values(name)
    if len(values) != 1 or not values[0]:
        how = "comes twice" if len(values) > 1 else "is missing"
        raise Unanswerable(f"{name.decode()} {how}")
    return values[0]
