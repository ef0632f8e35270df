"""What cases about responses are made of: the backend's bytes in a few words, and what may come of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal

from tests.conformance.case import ECHO, Case, Cut, Failed, Part, Passed, Reply, Story
from tests.conformance.cases.words import CRLF, TARGET, get

HELLO: Final = b"hello"
TEXT: Final = b"Content-Type: text/plain"
FIVE: Final = b"Content-Length: 5"
CHUNKED: Final = b"Transfer-Encoding: chunked"
LAST: Final = b"0\r\n\r\n"

Then = Literal["keep", "close", "reset", "hang"]


def response(
    *fields: bytes, body: bytes = b"", line: bytes = b"HTTP/1.1 200 OK", end: bytes = CRLF
) -> bytes:
    """Return a response; framing is the caller's."""
    return line + end + b"".join(field + end for field in fields) + end + body


OK: Final = response(TEXT, FIVE, body=HELLO)


def chunks(*contents: bytes, tail: bytes = LAST) -> bytes:
    """Return a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents) + tail


# ---- stories


def whole(
    content: bytes = HELLO,
    *,
    status: int = 200,
    method: bytes = b"GET",
    body: bytes = b"",
    closes: bool | None = False,
    fields: Mapping[bytes, list[bytes]] | None = None,
    attempts_max: int = 1,
) -> Story:
    """The client got this whole response, and its next request was answered."""
    return (
        Passed(
            method=method,
            target=TARGET,
            body=body,
            status=status,
            content=content,
            closes=closes,
            answer_fields=fields or {},
            attempts_max=attempts_max,
        ),
    )


BAD: Final[Story] = (Failed(statuses=frozenset({502})),)
"""Nothing of it reached the client."""

CUT: Final[Story] = (Cut(),)
"""The client got a beginning, and can tell that it is not the whole."""

SILENTLY: Final[Story] = (Cut(is_silent=True),)
"""The connection ended without any answer, which is a worse way to tell the same."""

LATE: Final[Story] = (Failed(statuses=frozenset({504})),)


def by_backend(status: int) -> Story:
    """The client got a whole answer with this status, which may have come before the backend had the whole request."""
    return (Failed(statuses=frozenset({status})),)


def closing(story: Story) -> Story:
    """The same, and the connection may end with it: that is always allowed, if seldom wished (RFC 9112 section 9.6)."""
    last = story[-1]
    return (*story[:-1], replace(last, closes=None)) if isinstance(last, Passed) else story


# ---- cases


def answer(
    name: str,
    why: str,
    parts: bytes | Iterable[Part],
    *accepts: Story,
    then: Then | None = None,
    at: Literal["head", "request"] = "request",
    sends: bytes | tuple[Part, ...] = b"",
    before: tuple[Reply, ...] = (),
    probe: bool = True,
) -> Case:
    """Make a case in which the backend answers a request with `parts`, after the replies `before`.

    Unless told otherwise its connection ends after what nobody can read to its end.
    """
    ends: Then = then or ("close" if all(story in (BAD, CUT) for story in accepts) else "keep")
    silently = (SILENTLY,) if CUT in accepts else ()
    raw = (parts,) if isinstance(parts, bytes) else tuple(parts)
    asked = sends or get()
    return Case(
        id=name,
        why=why,
        sends=(asked,) if isinstance(asked, bytes) else asked,
        accepts=(*accepts, *map(closing, accepts), *silently),
        backend=(*before, Reply(parts=raw, then=ends, at=at), ECHO),
        probe=probe,
        splits=False,
    )


def head_request(*fields: bytes) -> bytes:
    """Return a HEAD request."""
    return get(*fields).replace(b"GET ", b"HEAD ", 1)
