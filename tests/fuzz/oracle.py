"""What must hold of one run, whatever the client sent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.domain.outcome import Outcome
from tests.conformance.driver import Seen
from tests.conformance.reading import Message, read_requests, read_responses
from tests.fuzz.readers import Read, Unreadable, h11_reads, leniently, of_message
from tests.harness import TOKEN

_ADDED = frozenset(
    {
        b"host", b"via", b"connection", b"upgrade", b"transfer-encoding", b"content-length", b"x-forwarded-for",
        b"x-forwarded-proto", b"x-forwarded-host", b"x-gateway-key-id", b"x-request-id", b"traceparent", b"tracestate",
        b"max-forwards",
    }
)  # fmt: skip
_GONE = _ADDED | frozenset(
    {
        b"authorization", b"expect", b"forwarded", b"x-forwarded", b"x-real-ip", b"keep-alive", b"te", b"trailer",
        b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"http2-settings", b"proxy",
        b"x-http-method",
        b"x-http-method-override", b"x-method-override", b"x-original-url", b"x-rewrite-url",
        b"script-name", b"path-info", b"x-script-name",
    }
)  # fmt: skip
_FAMILIES = (b"x-forwarded-", b"x-gateway-")
_ABSOLUTE = re.compile(rb"^(?i:https?)://[^/?]*")


class Finding(Exception):
    """Something that must not happen; the text says what."""


def judge(raw: bytes, seen: Seen, outcomes: Sequence[Outcome], complaints: Sequence[str]) -> None:
    """Raise `Finding` when anything of the run is wrong."""
    if complaints:
        raise Finding(f"the gateway complained: {complaints[0]}")
    _responses_are_sound(raw, seen, outcomes)
    asked = [of_message(message) for message in _whole(raw)]
    forwarded = _forwarded(seen)
    _came_from_the_client(forwarded, asked)
    _were_decided(forwarded, outcomes)
    if len(forwarded) > raw.count(TOKEN.encode()):
        raise Finding("more requests were forwarded than keys were sent")


def _whole(raw: bytes) -> list[Message]:
    return [m for m in read_requests(raw, skips_empty_line=True) if m.is_whole]


def _responses_are_sound(raw: bytes, seen: Seen, outcomes: Sequence[Outcome]) -> None:
    methods = [outcome.head.method.encode() for outcome in outcomes]
    responses = read_responses(seen.received, methods, ended=seen.is_ended)
    left = any(outcome.ended == "client_gone" for outcome in outcomes)
    for response in responses:
        if response.fault or not (response.is_whole or left):
            raise Finding(f"malformed response: {response.fault or response.line!r}")
        if response.status == 500:
            raise Finding("500")
    final = [response for response in responses if response.status >= 200]
    if len(final) > len(outcomes):
        raise Finding(f"{len(final)} responses to {len(outcomes)} requests")


def _forwarded(seen: Seen) -> list[Read]:
    """Return what the backend was sent, on which all readers have to agree."""
    found: list[tuple[int, Read]] = []
    for heard in seen.heard:
        messages = heard.requests
        for message in messages:
            if message.fault:
                raise Finding(f"the backend received what is no request: {message.fault}")
        strict = [of_message(message) for message in messages if message.is_whole]
        if any(b"upgrade" in dict(read.fields) for read in strict):
            strict = strict[:1]
        _agree(heard.data, strict)
        numbers = [*heard.answered, *[1 << 30] * len(strict)]
        found += zip(numbers, strict, strict=False)
    return [read for _, read in sorted(found, key=lambda pair: pair[0])]


def _agree(data: bytes, strict: list[Read]) -> None:
    try:
        second = h11_reads(data)
    except Unreadable as error:
        raise Finding(str(error)) from None
    if second[: len(strict)] != strict or len(second) > len(strict):
        raise Finding(f"h11 reads {second!r}, not {strict!r}")
    third = leniently(data)
    shape = [(read.method, read.target, read.body) for read in strict]
    if [(read.method, read.target, read.body) for read in third] != shape:
        raise Finding(f"a lenient reader reads {third!r}, not {strict!r}")
    for read, other in zip(strict, third, strict=True):
        if _forged(read, other):
            raise Finding(f"a lenient reader sees another identity: {other.fields!r}")


def _forged(strict: Read, lenient: Read) -> bool:
    """Tell whether a reader that takes `_` for `-` sees a field of ours twice."""
    names = [name for name, _ in lenient.fields if name.startswith(_FAMILIES)]
    return len(names) != len(set(names)) or b"authorization" in dict(strict.fields)


def _came_from_the_client(forwarded: list[Read], asked: list[Read]) -> None:
    """Every forwarded request is one that the client sent, in its order, with the fields that cross."""
    waiting = list(asked)
    for read in forwarded:
        while waiting:
            candidate = waiting.pop(0)
            if _is_same(read, candidate):
                break
        else:
            raise Finding(f"forwarded what the client did not send: {read!r}; it sent {asked!r}")


def _is_same(read: Read, asked: Read) -> bool:
    target = _ABSOLUTE.sub(b"", asked.target, count=1)
    if not target.startswith(b"/"):
        target = target if target == b"*" else b"/" + target
    return (
        read.method == asked.method
        and read.target == target
        and read.body == asked.body
        and [pair for pair in read.fields if pair[0] not in _ADDED] == _crossing(asked)
    )


def _crossing(asked: Read) -> list[tuple[bytes, bytes]]:
    named = {
        member.strip(b" \t").lower()
        for name, value in asked.fields
        if name == b"connection"
        for member in value.split(b",")
    }
    return [(name, value) for name, value in asked.fields if not (name in named or _is_gone(name))]


def _is_gone(name: bytes) -> bool:
    spelled = re.sub(rb"[^a-z0-9]", b"-", name)
    return spelled in _GONE or spelled.startswith(_FAMILIES)


def _were_decided(forwarded: list[Read], outcomes: Sequence[Outcome]) -> None:
    """Every forwarded request was recorded with a key, as an upstream's or as one whose client left."""
    decided = [
        outcome for outcome in outcomes if outcome.upstream or outcome.ended == "client_gone"
    ]
    for read in forwarded:
        for place, outcome in enumerate(decided):
            if outcome.head.method.encode() == read.method and outcome.key is not None:
                del decided[place]
                break
        else:
            raise Finding(f"forwarded, and not recorded with a key: {read!r}")
