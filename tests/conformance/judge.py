"""The judge: compares what was seen with the stories that a case accepts, the same way for every subject."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conformance.backend import SERIAL, describe
from tests.conformance.case import (
    Answered,
    Case,
    Cut,
    Dropped,
    Failed,
    Passed,
    Refused,
    Silent,
    Step,
    Story,
)
from tests.conformance.driver import PROBE_TARGET, Seen
from tests.conformance.reading import Message

PROBE_STEP = Passed(target=PROBE_TARGET, host=b"probe.test", closes=True)


class Mismatch(Exception):
    """What was seen is not this story; the text says where it differs."""


def judge(case: Case, seen: Seen) -> str:
    """Return why `seen` is no accepted outcome of `case`, or nothing."""
    fault = always(seen)
    if fault:
        return f"{fault}\n{_picture(seen)}"
    reasons = []
    for story in case.accepts:
        for whole in _with_probe(case, story):
            try:
                _follow(whole, seen, has_probe=case.probe)
            except Mismatch as difference:
                reasons.append(f"{_name(whole)}: {difference}")
            else:
                return ""
    return "; or ".join(reasons) + "\n" + _picture(seen)


def always(seen: Seen) -> str:
    """Return what no proxy may do whatever the case is about, or nothing."""
    for request, _ in seen.requests:
        if request.fault:
            return f"the backend received what is no request: {request.fault}"
    for response in seen.responses:
        if response.fault:
            return f"malformed response: {response.fault}"
    return ""


def _with_probe(case: Case, story: Story) -> list[Story]:
    """Return the stories with what may become of the probe."""
    last = story[-1]
    if not case.probe or isinstance(last, Cut | Dropped | Silent) or last.closes:
        return [story]
    probed = (*story, PROBE_STEP)
    return [probed] if last.closes is False else [story, probed]


class _Trail:
    """What is left to explain of what was seen."""

    def __init__(self, seen: Seen) -> None:
        found = [response for response in seen.responses if response.has_head or response.line]
        self.responses: list[Message] = []
        self.interim: list[list[int]] = []
        before: list[int] = []
        for response in found:
            if response.status < 200 and response.status != 101 and response.has_head:
                before.append(response.status)
            else:
                self.responses.append(response)
                self.interim.append(before)
                before = []
        whole = [
            (heard.answered[index] if index < len(heard.answered) else 1 << 30, request)
            for heard in seen.heard
            for index, request in enumerate(heard.requests)
            if request.is_whole
        ]
        self.requests = [request for _, request in sorted(whole, key=lambda pair: pair[0])]
        self.partial = sum(not request.is_whole for request, _ in seen.requests)
        self.is_ended = seen.is_ended

    def response(self) -> tuple[Message, list[int]]:
        if not self.responses:
            raise Mismatch("no response" + (" before the end" if self.is_ended else ""))
        return self.responses.pop(0), self.interim.pop(0)

    def request(self) -> Message:
        if not self.requests:
            raise Mismatch("the backend saw no such request")
        return self.requests.pop(0)


def _follow(story: Story, seen: Seen, *, has_probe: bool) -> None:
    trail = _Trail(seen)
    partial_allowed = 0
    for step in story:
        partial_allowed += _take(step, trail)
    if trail.responses:
        raise Mismatch(f"one response too many: {trail.responses[0].line!r}")
    if trail.requests:
        raise Mismatch(f"the backend saw one request too many: {trail.requests[0].line!r}")
    if trail.partial > partial_allowed:
        raise Mismatch("the backend saw the beginning of a request")
    last = story[-1]
    if isinstance(last, Silent):
        if trail.is_ended:
            raise Mismatch("the connection was ended")
    elif isinstance(last, Cut | Dropped) or last.closes:
        if not trail.is_ended:
            raise Mismatch("the connection was not ended")
    elif has_probe and last.closes is None and not isinstance(last, Passed) and not trail.is_ended:
        raise Mismatch("neither went on with the probe nor ended the connection")


def _take(step: Step, trail: _Trail) -> int:
    """Take what `step` explains off the trail; return how many unfinished requests it allows."""
    if isinstance(step, Passed):
        _passed(step, trail)
        return step.attempts_max - 1
    if isinstance(step, Refused):
        response = _status(trail, step.statuses)
        if response.values(SERIAL):
            raise Mismatch("the backend answered")
        _compare_fields(step.fields, response, "response")
        return int(step.partial)
    if isinstance(step, Failed):
        response = _status(trail, step.statuses)
        _attempts(trail, trail.request() if trail.requests else None, step.attempts_max)
        return step.attempts_max
    if isinstance(step, Cut):
        if step.is_silent and not trail.responses and trail.is_ended:
            _attempts(trail, trail.request() if trail.requests else None, step.attempts_max)
            return step.attempts_max
        response, _ = trail.response()
        if response.is_whole:
            raise Mismatch(f"the response looks whole: {response.line!r}")
        _attempts(trail, trail.request() if trail.requests else None, step.attempts_max)
        return step.attempts_max
    if isinstance(step, Answered):
        response = _status(trail, step.statuses)
        _compare_fields(step.fields, response, "response")
        if response.values(SERIAL):
            trail.request()
        return 1
    return 1


def _status(trail: _Trail, statuses: frozenset[int]) -> Message:
    response, _ = trail.response()
    if response.status not in statuses:
        raise Mismatch(f"the status is {response.status}")
    if not response.is_whole:
        raise Mismatch("the response is not whole")
    return response


def _attempts(trail: _Trail, request: Message | None, attempts_max: int) -> None:
    for _ in range(attempts_max - 1):
        if request is None or not trail.requests or trail.requests[0].line != request.line:
            return
        trail.request()


def _passed(step: Passed, trail: _Trail) -> None:
    response, interim = trail.response()
    if not trail.requests:
        raise Mismatch(f"the status is {response.status}, and the backend saw no such request")
    request = trail.request()
    _attempts(trail, request, step.attempts_max)
    _compare_request(step, request)
    _compare_response(step, response)
    if response.values(SERIAL):
        if request.method != b"HEAD" and response.body != describe(request):
            raise Mismatch("the answer belongs to another request")
    elif step.status is None and step.content is None:
        raise Mismatch(f"not the backend's answer: {response.line!r}")
    if step.interim is not None and tuple(interim) != step.interim:
        raise Mismatch(f"the interim responses are {interim}")


def _compare_request(step: Passed, request: Message) -> None:
    for what, got, wanted in (
        ("method", request.method, step.method),
        ("target", request.target, step.target),
        ("body", request.body, step.body),
    ):
        if got != wanted:
            raise Mismatch(f"the backend saw {what} {got[:80]!r}, not {wanted[:80]!r}")
    if step.host is not None and request.values(b"host") != [step.host]:
        raise Mismatch(f"the backend saw Host {request.values(b'host')!r}")
    _compare_fields(step.fields, request, "backend")


def _compare_response(step: Passed, response: Message) -> None:
    if not response.is_whole:
        raise Mismatch("the response is not whole")
    if step.status is not None and response.status != step.status:
        raise Mismatch(f"the status is {response.status}")
    if step.content is not None and response.body != step.content:
        raise Mismatch(f"the content is {response.body[:80]!r}")
    _compare_fields(step.answer_fields, response, "response")


def _compare_fields(wanted: Mapping[bytes, list[bytes]], message: Message, where: str) -> None:
    for name, values in wanted.items():
        found = message.values(name)
        if found != values:
            raise Mismatch(f"{where}: {name.decode()} is {found!r}, not {values!r}")


def _name(story: Story) -> str:
    return " + ".join(
        type(step).__name__.lower() + (" probe" if step is PROBE_STEP else "") for step in story
    )


def _picture(seen: Seen) -> str:
    lines = [f"  client got {bytes(seen.received[:300])!r}" + (" <end>" if seen.is_ended else "")]
    lines += [f"  backend got {heard.data[:400]!r}" for heard in seen.heard]
    return "\n".join(lines)
