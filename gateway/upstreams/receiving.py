"""A response on its way from an upstream.

Knows its parts in their order, to whom its content is passed, and whether it is whole. It must not know requests,
deadlines or when a connection may be used again.
"""

from __future__ import annotations

from gateway.domain.request import UNTIL_CLOSE, ResponseHead
from gateway.http1.body import WHOLE, Body, body_reader
from gateway.http1.response_head import ResponseHeadReader
from gateway.ports import Sink
from gateway.upstreams.beginning import Beginning


class Receiving:
    """The receiving half of a connection; serves one response after another.

    `rest` is what came after the end of the response: it belongs to no response that anybody asked for.
    """

    __slots__ = (
        "_content",
        "_is_to_head_request",
        "beginning",
        "body",
        "is_relaying",
        "rest",
        "sink",
    )

    def __init__(self, reader: ResponseHeadReader) -> None:
        self._content = b""  # what came together with the head
        self._is_to_head_request = False
        self.beginning = Beginning(reader)
        self.body: Body | None = None  # there is one, if only an empty one, once the head is read
        self.is_relaying = False
        self.rest = b""
        self.sink: Sink | None = None

    def begin(self, *, to_head_request: bool) -> None:
        """Expect the next response."""
        self._is_to_head_request = to_head_request
        self.body = None
        self.is_relaying = False
        self.rest = b""

    @property
    def is_complete(self) -> bool:
        """Tell whether the response is known to be whole."""
        return self.body is not None and self.body.is_complete

    def read_head(self, data: bytes) -> ResponseHead | None:
        """Return the head once it is whole; raises `MessageError`.

        Content that came with it is judged with it, while the client can still be told an error.
        """
        found = self.beginning.read(data, to_head_request=self._is_to_head_request)
        if found is None:
            return None
        head, rest = found
        length = UNTIL_CLOSE if head.status == 101 else head.body_length
        if len(rest) == length:  # most answers come in one piece
            self._content = rest
            self.body = WHOLE
            return head
        body = self.body = body_reader(length)
        if rest:
            self._content, self.rest = body.feed(rest)
        return head

    def relay_to(self, sink: Sink) -> bool:
        """Pass content to `sink` from now on; tell whether the response is whole already."""
        body, content = self.body, self._content
        assert body is not None
        self.sink = sink
        self.is_relaying = True
        self._content = b""
        if content or not body.is_complete:
            sink.write(content)  # empty if it is long in coming: the client gets the head now
        return body.is_complete

    def relay(self, data: bytes) -> bool:
        """Pass on the content in `data`; tell whether the response is whole. Raises `MessageError`."""
        body, sink = self.body, self.sink
        assert body is not None
        content, self.rest = body.feed(data)
        if content and sink is not None:
            sink.write(content)
        return body.is_complete

    def ends_with_connection(self) -> bool:
        """Tell whether the response is whole if its connection ends now in order."""
        return self.body is not None and self.body.end()

    def release(self) -> Sink | None:
        """Return who takes the content, and pass on no more."""
        sink, self.sink = self.sink, None
        return sink
