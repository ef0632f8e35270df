from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Reason
from gateway.domain.outcome import Outcome
from gateway.domain.redaction import MASK, Redactor
from gateway.domain.request import RequestHead
from gateway.telemetry.access_lines import REMEMBERED_BYTES_MAX, REMEMBERED_MAX, Lines
from tests.telemetry.outcomes import make_key, make_outcome

TOKEN = "sk_live_" + "Ab3" * 16
REDACTOR = Redactor([("sk", ("live", "test"))])


def line_of(lines: Lines, outcome: Outcome) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(lines.render(outcome, 0.0))
    return line


FIELDS = st.fixed_dictionaries(
    {
        "request_id": st.sampled_from([b"req_1", b"\xff", TOKEN.encode()]),
        "method": st.sampled_from(["GET", "POST", "X" * 300]),
        "target": st.sampled_from([b"/", b"/a?b=c", b"/?token=x", b"/" * 900, b"\xe9"]),
        "user_agent": st.sampled_from([b"", b"curl/8", b"Bearer x", b"y" * 700]),
        "route": st.sampled_from(["jobs", "__unmatched__", 'a"b']),
        "status": st.sampled_from([0, 200, 401]),
        "reason": st.sampled_from([None, Reason.UNKNOWN_KEY, Reason.UPSTREAM_TIMEOUT]),
        "detail": st.sampled_from(["", "why", f"no {TOKEN}", "\ud800"]),
        "source": st.sampled_from(["gateway", "upstream"]),
        "upstream": st.sampled_from(["", "jobs"]),
        "ended": st.sampled_from(["complete", "cut"]),
        "key": st.sampled_from([None, make_key("a"), make_key("b")]),
        "client_address": st.sampled_from(["::1", "192.0.2.1"]),
        "duration": st.sampled_from([0.0, 0.0000004, 0.0125, 3600.5]),
        "generation": st.integers(0, 3),
    }
)


@given(asked=st.lists(FIELDS, min_size=1, max_size=6))
def test_what_is_remembered_never_changes_a_line(asked: list[dict[str, Any]]) -> None:
    remembering = Lines(REDACTOR)
    heads: dict[tuple[Any, ...], RequestHead] = {}
    for fields in [*asked, *asked]:
        outcome = make_outcome(**fields)
        expected = Lines(REDACTOR).render(outcome, 0.0)
        head = (fields["method"], fields["target"], fields["user_agent"])
        outcome.head = heads.setdefault(
            head, make_outcome(**fields).head
        )  # one that was met before
        assert remembering.render(outcome, 0.0) == expected


def test_what_a_head_remembers_is_believed_only_for_what_it_was_made_of() -> None:
    """Each of these alone, on one head, changes the line."""
    lines, same = Lines(REDACTOR), {"key": make_key("a"), "upstream": "jobs"}
    first = make_outcome(**same)
    rendered = {lines.render(first, 0.0)}
    for changed in (
        {"route": "other"}, {"status": 404}, {"key": make_key("b")}, {"client_address": "::1"}, {"peer_address": "::1"},
        {"reason": Reason.UNKNOWN_KEY, "source": "gateway"}, {"detail": "why"}, {"ended": "cut"},
        {"upstream": "others"}, {"generation": 9}, {"duration": 7.0}, {"request_id": b"req_9"},
    ):  # fmt: skip
        outcome = make_outcome(**same | changed)
        outcome.head = first.head
        rendered.add(lines.render(outcome, 0.0))
        assert lines.render(first, 0.0) in rendered
    assert len(rendered) == 13
    assert Lines(Redactor([])).render(first, 0.0) in rendered


def test_no_key_is_written_the_first_time_nor_the_second() -> None:
    lines = Lines(REDACTOR)
    outcome = make_outcome(
        target=f"/v1/{TOKEN}?api_key=abc".encode(),
        user_agent=f"bot {TOKEN}".encode(),
        request_id=TOKEN.encode(),
        method=TOKEN,
        detail=TOKEN,
        reason=Reason.UNKNOWN_KEY,
    )
    for _ in range(2):
        line = line_of(lines, outcome)
        assert line["target"] == f"/v1/sk_live_{MASK}?api_key={MASK}"
        assert line["user_agent"] == f"bot sk_live_{MASK}"
        assert line["request_id"] == line["method"] == line["detail"] == f"sk_live_{MASK}"


def test_a_request_refused_because_of_its_upstream_names_it_without_a_target() -> None:
    outcome = make_outcome(
        reason=Reason.UPSTREAM_TIMEOUT, upstream="jobs", upstream_duration=2.0, source="gateway"
    )
    line = line_of(Lines(REDACTOR), outcome)
    assert (line["upstream"], line["upstream_target"], line["upstream_ms"]) == ("jobs", None, 2000)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0.0, 0), (0.0004, 0.4), (0.0000006, 0.001), (0.0012345, 1.235), (61.5, 61500)],
)
def test_times_are_milliseconds_to_the_microsecond(seconds: float, milliseconds: float) -> None:
    line = line_of(Lines(REDACTOR), make_outcome(duration=seconds, upstream_duration=seconds))
    assert line["duration_ms"] == milliseconds
    assert line["upstream_ms"] == milliseconds


def test_what_is_remembered_is_bounded() -> None:
    lines = Lines(REDACTOR)
    for number in range(REMEMBERED_MAX + 10):
        lines.render(make_outcome(target=b"/?q=%d" % number, user_agent=b"a %d" % number), 0.0)
    lines.render(make_outcome(target=b"/?" + b"x" * REMEMBERED_BYTES_MAX, user_agent=b"a"), 0.0)
    assert (len(lines._targets), len(lines._agents)) == (10, 11)


def test_a_remembered_text_takes_as_much_memory_as_it_is_long() -> None:
    lines = Lines(REDACTOR)
    outcomes = [
        make_outcome(client_address=f"2001:db8::{n:x}", user_agent=b'"agent" %d' % n)
        for n in range(200)
    ]
    tracemalloc.start()
    try:
        for outcome in outcomes:
            lines.render(outcome, 0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (
        taken < len(outcomes) * 3_000
    )  # with what each head remembers; two buffers of orjson are 8 KB
