from __future__ import annotations

import pytest

from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.streams import StreamKind, kind_of


def asked(upgrade: bytes = b"") -> RequestHead:
    return RequestHead(method="GET", target=b"/", path="/", upgrade=upgrade)


def answered(*content_types: bytes, status: int = 200) -> ResponseHead:
    fields = tuple((b"content-type", b"Content-Type", value) for value in content_types)
    return ResponseHead(status=status, fields=fields)


@pytest.mark.parametrize(
    ("head", "relayed", "is_sending", "kind"),
    [
        (asked(b"websocket"), answered(status=101), True, StreamKind.WEBSOCKET),
        (asked(b"imap"), answered(status=101), True, StreamKind.TUNNEL),
        (asked(b"websocket"), answered(b"text/html"), False, StreamKind.DOWNLOAD),
        (asked(b"websocket"), None, False, StreamKind.LONG_POLL),
        (asked(), answered(b"text/event-stream"), False, StreamKind.SSE),
        (asked(), answered(b"Text/Event-Stream ;charset=utf-8"), False, StreamKind.SSE),
        (asked(), answered(b"text/event-streams"), False, StreamKind.DOWNLOAD),
        (asked(), answered(), False, StreamKind.DOWNLOAD),
        (asked(), answered(b"application/json"), True, StreamKind.DOWNLOAD),
        (asked(), None, True, StreamKind.UPLOAD),
        (asked(), None, False, StreamKind.LONG_POLL),
    ],
)
def test_kind_follows_from_the_heads(
    head: RequestHead, relayed: ResponseHead | None, is_sending: bool, kind: StreamKind
) -> None:
    assert kind_of(head, relayed, is_sending=is_sending) is kind
