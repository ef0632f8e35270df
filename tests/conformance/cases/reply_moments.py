"""When responses come: interim ones, early ones, none at all, ones without content, and kept connections."""

from __future__ import annotations

from tests.conformance.case import ECHO, Case, Group, Part, Passed, Pause, Reply, Said, Story
from tests.conformance.cases.replies import (
    BAD,
    CHUNKED,
    CUT,
    FIVE,
    HELLO,
    LATE,
    OK,
    SILENTLY,
    TEXT,
    Then,
    answer,
    by_backend,
    chunks,
    closing,
    head_request,
    response,
    whole,
)
from tests.conformance.cases.words import TARGET, get, post

# ---- interim responses

_INTERIM = "RFC 9110 section 15.2: a client reads past interim responses, expected or not"
_UNASKED = "RFC 9110 section 15.2.2: nobody asked to switch, so what follows means nothing"
_NO_CONTENT = (
    "RFC 9110 sections 8.6 and 15.2: an interim response has no content and announces none"
)


def interim(status: bytes, *fields: bytes) -> bytes:
    """Return an interim response."""
    return response(*fields, line=b"HTTP/1.1 " + status)


_CONTINUE = interim(b"100 Continue")
_HINTS = interim(b"103 Early Hints", b"Link: </style.css>; rel=preload")


def _interim() -> list[Case]:
    ahead = {
        "100": _CONTINUE,
        "100-twice": _CONTINUE * 2,
        "100-with-fields": interim(b"100 Continue", b"X: y", b"Connection: close"),
        "102": interim(b"102 Processing"),
        "103": _HINTS,
        "103-five-times": _HINTS * 5,
        "100-then-103": _CONTINUE + _HINTS,
        "103-then-100": _HINTS + _CONTINUE,
        "104-unknown": interim(b"104 x"),
        "199-unknown": interim(b"199 x"),
        "100-of-http-1-0": response(line=b"HTTP/1.0 100 Continue"),
    }
    found = [answer(name, _INTERIM, raw + OK, whole()) for name, raw in ahead.items()]
    found += [
        answer(f"{name}-long-before", _INTERIM, (raw, Pause(), OK), whole())
        for name, raw in {"100": _CONTINUE, "102": ahead["102"], "103": _HINTS}.items()
    ]
    found += [
        answer(f"{name}-to-an-old-client", "RFC 9110 section 15.2: never to HTTP/1.0", raw + OK,
               whole(closes=None), sends=get(version=b"HTTP/1.0"), probe=False)
        for name, raw in {"100": _CONTINUE, "103": _HINTS}.items()
    ]  # fmt: skip
    framed = {
        "length": interim(b"103 x", FIVE) + HELLO,
        "coding": interim(b"103 x", CHUNKED) + chunks(HELLO),
        "length-hides-a-response": interim(b"103 x", b"Content-Length: %d" % len(OK)) + OK,
    }
    found += [
        answer(f"interim-with-{name}", _NO_CONTENT, raw + OK, BAD, whole())
        for name, raw in framed.items()
    ]
    switch = interim(b"101 Switching Protocols", b"Connection: upgrade", b"Upgrade: websocket")
    found += [
        answer("101-unasked", _UNASKED, switch, BAD, then="hang"),
        answer("101-unasked-then-200", _UNASKED, switch + OK, BAD),
        answer("101-unasked-without-upgrade", _UNASKED, interim(b"101 x") + OK, BAD),
        answer("100-and-nothing", _INTERIM, _CONTINUE, BAD, then="close"),
        answer("103-and-reset", _INTERIM, _HINTS, BAD, then="reset"),
        answer("103-and-half-a-head", _INTERIM, _HINTS + OK[:20], BAD, then="close"),
        answer("103-and-garbage", _INTERIM, _HINTS + b"garbage", BAD, then="close"),
        answer("100-malformed", _INTERIM, b"HTTP/1.1 100 Continue\r\nno colon\r\n\r\n" + OK, BAD),
        answer("103-flood", "Interim responses are bounded", _HINTS * 5000 + OK, BAD),
        answer("103-huge", "Interim responses are bounded", interim(b"103 x", b"X: " + b"y" * 100_000) + OK, BAD),
    ]  # fmt: skip
    return found


# ---- responses without content

_NONE = "RFC 9112 section 6.3, rule 1: HEAD, 1xx, 204 and 304 end with their empty line"
_AFTER = "RFC 9112 section 6.3: what follows a response that has no content is no part of it"


def _without_content() -> list[Case]:
    heads = {
        "length": (response(TEXT, FIVE), {b"content-length": [b"5"]}),
        "length-zero": (response(b"Content-Length: 0"), {b"content-length": [b"0"]}),
        "chunked": (response(CHUNKED), {}),
        "neither": (response(TEXT), {}),
        "of-http-1-0": (response(TEXT, FIVE, line=b"HTTP/1.0 200 OK"), {b"content-length": [b"5"]}),
        "of-an-error": (response(FIVE, line=b"HTTP/1.1 200 x"), {b"content-length": [b"5"]}),
    }
    found = [
        answer(f"head-{name}", _NONE, raw, whole(b"", method=b"HEAD", fields=fields), sends=head_request())
        for name, (raw, fields) in heads.items()
    ]  # fmt: skip
    found += [
        answer("head-with-content", _AFTER, OK, whole(b"", method=b"HEAD"), BAD, sends=head_request()),
        answer("head-with-chunks", _AFTER, response(CHUNKED, body=chunks(HELLO)),
               whole(b"", method=b"HEAD"), BAD, sends=head_request()),
        answer("head-invalid-length", "RFC 9110 section 8.6", response(b"Content-Length: x"), BAD,
               sends=head_request()),
        answer("204", _NONE, response(line=b"HTTP/1.1 204 No Content"), whole(b"", status=204)),
        answer("204-with-length-zero", _NONE, response(b"Content-Length: 0", line=b"HTTP/1.1 204 x"),
               whole(b"", status=204, fields={b"content-length": []}), whole(b"", status=204)),
        answer("204-with-length", _NONE, response(FIVE, line=b"HTTP/1.1 204 x"),
               whole(b"", status=204, fields={b"content-length": []}), BAD),
        answer("204-with-content", _AFTER, response(FIVE, body=HELLO, line=b"HTTP/1.1 204 x"),
               whole(b"", status=204, fields={b"content-length": []}), BAD),
        answer("204-with-chunks", _AFTER, response(CHUNKED, body=chunks(HELLO), line=b"HTTP/1.1 204 x"),
               whole(b"", status=204, fields={b"transfer-encoding": []}), BAD),
        answer("204-and-close", _NONE, response(line=b"HTTP/1.1 204 x"), whole(b"", status=204), then="close",
               sends=(get(), Said())),
        answer("304", _NONE, response(b'ETag: "a"', line=b"HTTP/1.1 304 x"), whole(b"", status=304)),
        answer("304-with-length", _NONE, response(FIVE, line=b"HTTP/1.1 304 x"), whole(b"", status=304)),
        answer("304-with-coding", _NONE, response(CHUNKED, line=b"HTTP/1.1 304 x"), whole(b"", status=304)),
        answer("304-with-content", _AFTER, response(FIVE, body=HELLO, line=b"HTTP/1.1 304 x"),
               whole(b"", status=304), BAD),
        answer("304-and-close", _NONE, response(line=b"HTTP/1.1 304 x"), whole(b"", status=304), then="close",
               sends=(get(), Said())),
        answer("205-with-length-zero", "RFC 9110 section 15.3.6",
               response(b"Content-Length: 0", line=b"HTTP/1.1 205 x"), whole(b"", status=205)),
        answer("205-with-empty-chunks", "RFC 9110 section 15.3.6",
               response(CHUNKED, body=chunks(), line=b"HTTP/1.1 205 x"), whole(b"", status=205)),
        answer("205-until-close", "RFC 9110 section 15.3.6",
               response(line=b"HTTP/1.1 205 x"), whole(b"", status=205), then="close"),
    ]  # fmt: skip
    return found


# ---- old servers, and content that ends with the connection

_CLOSE = "RFC 9112 section 6.3, rule 8: without framing the content ends with the connection"
_OLD = b"HTTP/1.0 200 OK"


def _old() -> list[Case]:
    found = [
        answer(f"{version}-until-close{suffix}", _CLOSE, response(TEXT, body=content, line=line),
               whole(content), then="close")
        for version, line in {"http-1-0": _OLD, "http-1-1": b"HTTP/1.1 200 OK"}.items()
        for suffix, content in {"": HELLO, "-empty": b"", "-large": b"x" * 200_000}.items()
    ]  # fmt: skip
    return [
        *found,
        answer("until-close-in-pieces", _CLOSE, (response(TEXT), Pause(), b"hel", Pause(), b"lo"), whole(),
               then="close"),
        answer("until-close-looks-like-a-response", _CLOSE, response(TEXT, body=OK), whole(OK), then="close"),
        answer("until-close-named", _CLOSE, response(b"Connection: close", body=HELLO), whole(), then="close"),
        answer("http-1-0-length", _CLOSE, response(FIVE, body=HELLO, line=_OLD), whole(), then="close"),
        answer("http-1-0-length-stays-open", _CLOSE, response(FIVE, body=HELLO, line=_OLD), whole(), then="hang"),
        answer("http-1-0-keep-alive", _CLOSE,
               response(FIVE, b"Connection: keep-alive", body=HELLO, line=_OLD), whole()),
        answer("http-1-0-keep-alive-without-length", _CLOSE,
               response(b"Connection: keep-alive", body=HELLO, line=_OLD), whole(), then="close"),
        answer("length-and-close", _CLOSE, response(FIVE, b"Connection: close", body=HELLO), whole(), then="close"),
        answer("length-and-close-stays-open", _CLOSE, response(FIVE, b"Connection: close", body=HELLO),
               whole(), then="hang"),
        answer("chunks-and-close", _CLOSE, response(CHUNKED, b"Connection: close", body=chunks(HELLO)),
               whole(), then="close"),
        answer("whole-then-reset", _CLOSE, OK, whole(), then="reset", sends=(get(), Said())),
        answer("to-an-old-client-until-close", _CLOSE, response(TEXT, body=HELLO), whole(closes=None), then="close",
               sends=get(version=b"HTTP/1.0"), probe=False),
        answer("to-an-old-client-chunks", _CLOSE, response(CHUNKED, body=chunks(HELLO)), whole(closes=None),
               sends=get(version=b"HTTP/1.0"), probe=False),
        answer("to-an-old-client-cut-chunks", "Only a reset tells an HTTP/1.0 client that it broke",
               response(CHUNKED, body=chunks(HELLO, tail=b"")), CUT, BAD, then="close",
               sends=get(version=b"HTTP/1.0"), probe=False),
        answer("to-an-old-client-cut-length", "HTTP/1.0 clients compare the length",
               OK[:-1], CUT, BAD, then="close", sends=get(version=b"HTTP/1.0"), probe=False),
    ]  # fmt: skip


# ---- answers before the end of the request

_EARLY = "RFC 9112 section 9.3: a server may answer before it has the whole request, and then close"


def _early() -> list[Case]:
    half = (post(b"Content-Length: 10", b"Connection: close", body=b"12345"), Pause())
    rest = (*half, b"67890")
    large = post(b"Content-Length: 900000", b"Connection: close", body=b"x" * 900_000)
    refusal = response(FIVE, b"Connection: close", body=HELLO, line=b"HTTP/1.1 413 x")
    chunked = response(CHUNKED, body=chunks(HELLO))
    lines = {
        200: b"HTTP/1.1 200 OK",
        413: b"HTTP/1.1 413 x",
        417: b"HTTP/1.1 417 x",
        500: b"HTTP/1.1 500 x",
    }
    ends: tuple[Then, ...] = ("keep", "close")
    return [
        *(
            _before_the_end(
                f"{status}-{then}",
                response(FIVE, body=HELLO, line=line),
                by_backend(status),
                sends=rest,
                then=then,
            )
            for status, line in lines.items()
            for then in ends
        ),
        _before_the_end("413-reset", (refusal, Pause()), by_backend(413), sends=rest, then="reset"),
        _before_the_end("413-to-a-large-request", refusal, by_backend(413), sends=large),
        _before_the_end("chunks-to-a-large-request", chunked, by_backend(200), sends=large),
        _before_the_end("100-then-413", _CONTINUE + refusal, by_backend(413), sends=rest),
        _before_the_end("end-without-answer", b"", BAD, sends=rest),
        _before_the_end("half-an-answer", OK[:20], BAD, sends=rest),
        _before_the_end("answer-cut-short", OK[:-1], CUT, BAD, sends=rest),
    ]


def _before_the_end(
    name: str,
    parts: bytes | tuple[Part, ...],
    *accepts: Story,
    sends: bytes | tuple[Part, ...],
    then: Then = "close",
) -> Case:
    return answer(name, _EARLY, parts, *accepts, sends=sends, at="head", then=then, probe=False)


# ---- silence

_SILENT = "An upstream that says nothing in time is a 504; one that stops midway, a broken response"


_LEAVING = get(b"Connection: close")


def _silence() -> list[Case]:
    stories = {
        "nothing": (b"", LATE),
        "half-a-head": (OK[:20], LATE),
        "interim-and-nothing": (_HINTS, LATE),
        "half-a-body": (OK[:-2], CUT),
        "half-a-chunk": (response(CHUNKED, body=b"5\r\nhe"), CUT),
        "no-last-chunk": (response(CHUNKED, body=chunks(HELLO, tail=b"")), CUT),
    }
    return [
        answer(name, _SILENT, raw, story, then="hang", probe=False, sends=_LEAVING)
        for name, (raw, story) in stories.items()
    ]


# ---- kept connections

_KEPT = "RFC 9112 section 9.3.1: only an idempotent request may be repeated, and only if nothing was answered"
_FIRST = Reply(parts=(OK,))


def _kept() -> list[Case]:
    ends, resets = Reply(parts=(b"",), then="close"), Reply(parts=(b"",), then="reset")
    half, hint = Reply(parts=(OK[:20],), then="close"), Reply(parts=(_HINTS,), then="close")
    closes, later = (
        Reply(parts=(OK,), then="close"),
        Reply(parts=(OK, Pause(0.01), response(FIVE, body=b"wrong"))),
    )
    posted = post(b"Content-Length: 1", body=b"x")
    again = (*whole(), Passed(target=TARGET, attempts_max=2, closes=False))
    answered = (*whole(), Passed(method=b"POST", target=TARGET, body=b"x", closes=False))
    failed = whole() + BAD
    return [
        _second("served-twice", get(), again),
        _second("get-is-repeated-when-the-connection-ends", get(), again, failed, then=ends),
        _second("get-is-repeated-when-the-connection-is-reset", get(), again, failed, then=resets),
        _second("post-is-not-repeated", posted, failed, then=ends),
        _second("get-is-not-repeated-after-half-an-answer", get(), failed, then=half),
        _second("get-is-not-repeated-after-an-interim-answer", get(), failed, then=hint),
        _second("post-after-the-connection-ended", posted, answered, first=closes, waits=True),
        _second("response-before-the-second-request", get(), again, first=later, waits=True),
    ]


def _second(
    name: str,
    second: bytes,
    *accepts: Story,
    first: Reply = _FIRST,
    then: Reply = ECHO,
    waits: bool = False,
) -> Case:
    """Make a case of two requests, of which the second meets a kept connection."""
    return Case(
        id=name,
        why=_KEPT,
        sends=(get(), Said(), second) if waits else (get() + second,),
        accepts=(*accepts, *map(closing, accepts), whole() + SILENTLY),
        backend=(first, then, ECHO),
        splits=False,
    )


GROUPS = (
    Group(name="response-interim", title="Responses: interim (1xx)", cases=tuple(_interim())),
    Group(
        name="response-empty", title="Responses: without content", cases=tuple(_without_content())
    ),
    Group(
        name="response-old",
        title="Responses: HTTP/1.0, until the connection ends",
        cases=tuple(_old()),
    ),
    Group(
        name="response-early",
        title="Responses: before the request has ended",
        cases=tuple(_early()),
    ),
    Group(
        name="response-silence", title="Responses: silence", cases=tuple(_silence()), is_policy=True
    ),
    Group(name="response-kept", title="Responses: on kept connections", cases=tuple(_kept())),
)
