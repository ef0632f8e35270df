"""What cases are made of: requests in a few words, and the outcomes that most of them have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.conformance.case import (
    ECHO,
    Answered,
    Case,
    Dropped,
    Part,
    Passed,
    Refused,
    Reply,
    Silent,
    Story,
)
from tests.conformance.driver import AUTH

CRLF: Final = b"\r\n"
TARGET: Final = b"/v1/case"
HOST: Final = b"Host: case.test"

FAULTY: Final = frozenset({400, 411, 422, 501})
"""Statuses for a request that is malformed: 400, or a more exact one (HAProxy says 422 to a transfer coding)."""


def lines(*parts: bytes) -> bytes:
    """Return a head of these lines, ended by the empty one."""
    return CRLF.join(parts) + CRLF + CRLF


def get(*fields: bytes, target: bytes = TARGET, version: bytes = b"HTTP/1.1") -> bytes:
    """Return a GET with `Host`, a key and more fields."""
    return lines(b"GET " + target + b" " + version, HOST, AUTH, *fields)


def post(
    *fields: bytes, body: bytes = b"", target: bytes = TARGET, version: bytes = b"HTTP/1.1"
) -> bytes:
    """Return a POST with `Host`, a key and more fields; framing is the caller's."""
    return lines(b"POST " + target + b" " + version, HOST, AUTH, *fields) + body


def chunked(body: bytes, *fields: bytes) -> bytes:
    """Return a POST in chunks; `body` is the raw chunked body."""
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


# ---- stories of one request


def passed(
    body: bytes = b"",
    *,
    method: bytes = b"GET",
    target: bytes = TARGET,
    host: bytes | None = b"case.test",
    fields: Mapping[bytes, list[bytes]] | None = None,
    closes: bool | None = False,
) -> Story:
    """The backend saw this request."""
    return (
        Passed(
            method=method, target=target, body=body, host=host, fields=fields or {}, closes=closes
        ),
    )


def posted(body: bytes = b"", **more: bytes) -> Story:
    """The backend saw a POST with this body."""
    return passed(body, method=b"POST", **more)  # type: ignore[arg-type]


REFUSED: Final[Story] = (Refused(statuses=FAULTY),)
"""Malformed: whether the connection goes on is the proxy's choice, as long as it knows where the request ended."""

CLOSED: Final[Story] = (Refused(statuses=FAULTY, closes=True),)
"""Malformed in a way that leaves the end of the request in doubt: answered, and the connection ends."""

BROKEN: Final[Story] = (Refused(statuses=FAULTY, closes=True, partial=True),)
"""The fault is in the body, so the beginning of the request may have been forwarded before it came."""

DROPPED: Final[Story] = (Dropped(),)
SILENT: Final[Story] = (Silent(),)


def refused(*statuses: int, closes: bool | None = None, partial: bool = False) -> Story:
    """The proxy says no, with one of `statuses`."""
    return (Refused(statuses=frozenset(statuses), closes=closes, partial=partial),)


def answered(*statuses: int, closes: bool | None = None) -> Story:
    """Somebody answered with one of `statuses`."""
    return (Answered(statuses=frozenset(statuses), closes=closes),)


def case(
    name: str,
    why: str,
    sends: bytes | tuple[Part, ...],
    *accepts: Story,
    backend: tuple[Reply, ...] = (ECHO,),
    probe: bool = True,
    splits: bool = True,
) -> Case:
    """Make a case."""
    parts = (sends,) if isinstance(sends, bytes) else sends
    return Case(
        id=name,
        why=why,
        sends=parts,
        accepts=accepts,
        backend=backend,
        probe=probe,
        splits=splits,
    )
