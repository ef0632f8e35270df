"""The listener for proxies that forward by themselves and ask about each request first.

Knows who may ask, what of a question is the request that it is about, and which answers a proxy understands. The
request is judged by the same story as every other. It must not know what that decides, nor why.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.domain.status import status_line
from gateway.eager import Signal
from gateway.http1 import consultation
from gateway.http1.request_head import HeadLimits, RequestHeadReader
from gateway.listeners.exchange import Exchange
from gateway.ports import Connection, Progress, UpstreamFailure

QUESTION_BYTES: Final = 4096
"""What a proxy may add to the head of its client's request: its own fields, and the target once more."""

QUESTION_FIELDS: Final = 20

_UNREAD: Final = RequestHead(method="", target=b"", path="", ends_here=True, is_consultation=True)

_STATUS_START: Final = 9
_STATUS_END: Final = 12
_LENGTH: Final = re.compile(rb"\r\nContent-Length: [0-9]+\r\n")
_UNDERSTOOD_BY_NGINX: Final = (b"200", b"401", b"403")
"""What `auth_request` passes on; everything else it would make a 500 of."""


class Questions:
    """Reads questions. `limits` are those of the requests that they are about; `resolver` says who their client is."""

    def __init__(self, limits: HeadLimits, resolver: ClientAddressResolver) -> None:
        self._reader = RequestHeadReader(limits)
        self._resolver = resolver

    def consult(self, exchange: Exchange) -> Consultation:
        """Return the request that the question in `exchange` is about."""
        malformed = exchange.malformed or self._strange(exchange)
        if malformed is None:
            read = self._read(exchange.head)
            if isinstance(read, RequestHead):
                return Consultation(exchange, read, None)
            malformed = read
        return Consultation(exchange, _UNREAD, malformed)

    def _strange(self, exchange: Exchange) -> Denial | None:
        """Say what is wrong with a question that does not tell whose request it is about."""
        found = self._resolver.resolve(exchange.peer_address, exchange.head)
        if found.hops:
            return None
        return _unanswerable(f"the proxy did not say who its client is: {found.derivation}")

    def _read(self, question: RequestHead) -> RequestHead | Denial:
        try:
            raw = consultation.asked(question)
        except consultation.Unanswerable as error:
            return _unanswerable(str(error))
        read = self._reader.read(raw)
        if isinstance(read, RequestHead):
            read.is_consultation = read.ends_here = True
        return read


def _unanswerable(why: str) -> Denial:
    return Denial(reason=Reason.INVALID_REQUEST, internal=f"forward-auth: {why}")


class Consultation:
    """Implements `ports.Exchange` for a request that a proxy asks about in `question`: it is answered, and no more."""

    __slots__ = (
        *("_question", "client_address", "client_network", "finished", "forwarded", "head"),
        *("malformed", "request_bytes", "request_id", "response_bytes", "trace_id"),
    )

    def __init__(self, question: Exchange, head: RequestHead, malformed: Denial | None) -> None:
        self._question = question
        self.head = head
        self.malformed = malformed
        self.request_id = question.request_id
        self.trace_id = question.trace_id
        self.client_address = question.client_address
        self.client_network = question.client_network
        self.forwarded = b""
        self.finished: Signal[str] = question.finished
        self.request_bytes = 0
        self.response_bytes = 0

    @property
    def progress(self) -> Progress | None:
        """What is known of the request: the registry of what goes on looks for it at the question."""
        return self._question.progress

    @progress.setter
    def progress(self, progress: Progress | None) -> None:
        self._question.progress = progress

    @property
    def failure(self) -> UpstreamFailure | None:
        """Why the question was given up, if it was."""
        return self._question.failure

    @property
    def is_gone(self) -> bool:
        """Tell whether the proxy does not wait any more."""
        return self._question.is_gone

    @property
    def peer_address(self) -> str:
        """The address of the proxy."""
        return self._question.peer_address

    @property
    def keeps_trace(self) -> bool:
        """Tell whether a trace that came with the request goes on."""
        return self._question.keeps_trace

    @property
    def is_begun(self) -> bool:
        """Tell whether the question was answered."""
        return self._question.is_begun

    def closing_fields(self, *, must_close: bool = False) -> bytes:
        """Return the `Connection` line that the answer needs, or nothing."""
        return self._question.closing_fields(must_close=must_close)

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer the proxy, in the words that it understands."""
        question = self._question
        if consultation.is_from_nginx(question.head):
            head, body = _for_nginx(head), b""
        if question.head.method == "HEAD":
            body = b""
        elif not body:
            head = _LENGTH.sub(b"\r\nContent-Length: 0\r\n", head, count=1)
        self.response_bytes = len(body)
        question.answer(head, body)

    def abort(self, ended: str) -> None:
        """Break the connection off: the story broke."""
        self._question.abort(ended)

    # ---- what only a request that is forwarded needs

    def begin(self, head: bytes, *, is_chunked: bool, connection: Connection) -> None:  # noqa: ARG002 - as in the port
        raise AssertionError("a question is not forwarded")

    def tunnel(self, head: bytes, connection: Connection) -> None:  # noqa: ARG002
        raise AssertionError("a question is not forwarded")

    def stream_body_to(self, connection: Connection, *, bytes_max: int) -> None:  # noqa: ARG002
        raise AssertionError("a question is not forwarded")

    def write(self, content: bytes) -> None:  # noqa: ARG002
        raise AssertionError("a question is not forwarded")

    def finish(self) -> None:
        raise AssertionError("a question is not forwarded")

    def pause(self) -> None:
        raise AssertionError("a question has no body")

    def resume(self) -> None:
        raise AssertionError("a question has no body")


def _for_nginx(head: bytes) -> bytes:
    """Return the answer as 200, 401 or 403, with the status that it means in a field of its own."""
    status = head[_STATUS_START:_STATUS_END]
    line, _, rest = head.partition(b"\r\n")
    if status not in _UNDERSTOOD_BY_NGINX:
        line = status_line(403).removesuffix(b"\r\n")
    return b"%b\r\nX-Gateway-Status: %b\r\n%b" % (line, status, rest)
