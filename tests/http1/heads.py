"""Requests of a few lines, read."""

from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.http1.request_head import HeadLimits, RequestHeadReader


def read(raw: bytes, **limits: int) -> RequestHead | Denial:
    return RequestHeadReader(HeadLimits(**limits)).read(raw)


def request(
    *fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a.test"
) -> bytes:
    lines = [line, *([b"Host: " + host] if host is not None else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def accepted(
    *fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a.test"
) -> RequestHead:
    head = read(request(*fields, line=line, host=host))
    assert isinstance(head, RequestHead), head
    return head


def refused(
    *fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a.test"
) -> Reason:
    denial = read(request(*fields, line=line, host=host))
    assert isinstance(denial, Denial), denial
    if denial.reason is Reason.INVALID_REQUEST:
        assert "(RFC " in denial.internal or denial.internal.endswith("repeated")
    return denial.reason
