"""The reference of all reasons, generated from the tables that the gateway answers with.

Knows an example of each denial and how the page is laid out. The same examples make the golden
files, so that what the page shows is what is tested.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import VERDICTS, Denial, Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.compose import ErrorAnswer
from gateway.domain.dialects.definition import STATUS_TEXTS
from gateway.domain.dialects.fill import NAMED
from gateway.domain.dialects.render import Dialect

EXAMPLE_REQUEST_ID: Final = b"req_0123456789abcdefghjkmnpq"
EXAMPLE_NOW: Final = 1_640_995_140.25
"""2021-12-31T23:59:00.25Z."""

_HEAD: Final = """# Reasons

Every refusal has one reason. Its name is the same in metrics, logs, audit and in the `problem`
dialect; the other dialects merge reasons as their vendors do. Generated from the code: do not edit.

| Reason | Status | Blame | Log level | Text |
|---|---|---|---|---|
"""


def example(reason: Reason) -> Denial:
    """Return a denial for `reason` that names all that it may name."""
    is_limit = reason in (Reason.RATE_LIMITED, Reason.QUOTA_EXCEEDED, Reason.CONCURRENCY_LIMITED)
    return Denial(
        reason=reason,
        required_scopes=("jobs:write",) if reason is Reason.INSUFFICIENT_SCOPE else (),
        client_address="203.0.113.9" if reason is Reason.IP_NOT_ALLOWED else "",
        allow=("GET", "HEAD") if reason is Reason.METHOD_NOT_ALLOWED else (),
        retry_after_seconds=30 if VERDICTS[reason].status == 429 else 0,
        violated_policies=("minute",) if is_limit else (),
        limit=300 if is_limit else 0,
        reset_seconds=60 if is_limit else 0,
        internal="only for the log",
    )


def example_answer(dialect: Dialect, reason: Reason) -> ErrorAnswer:
    """Return the answer of `dialect` to the example of `reason`."""
    return dialect.render(example(reason), EXAMPLE_REQUEST_ID, EXAMPLE_NOW)


def render_reasons_reference() -> str:
    """Return the Markdown page: a table of all reasons, then a section for each.

    A section's anchor is the reason's name, with the underscores that Markdown processors keep.
    """
    dialects = [Dialect(definition) for definition in DIALECTS.values()]
    rows = [_row(reason) for reason in Reason]
    sections = [_section(reason, dialects) for reason in Reason]
    return _HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections)


def _row(reason: Reason) -> str:
    verdict = VERDICTS[reason]
    name = reason.value
    return (
        f"| [`{name}`](#{name}) | {verdict.status} | {verdict.blame.value} "
        f"| {verdict.log_level} | {verdict.detail} |"
    )


def _section(reason: Reason, dialects: list[Dialect]) -> str:
    verdict = VERDICTS[reason]
    named = NAMED.get(reason)
    lines = [
        f"## {reason.value}",
        "",
        f"**{verdict.title}.** {verdict.detail}",
        "",
        f"- Status: {verdict.status} {STATUS_TEXTS[verdict.status]}",
        f"- Blame: {verdict.blame.value}; logged as {verdict.log_level}",
        f"- What to do: {verdict.remedy}",
        *([f"- The answer names: {named.name.lower()}"] if named else []),
        "",
    ]
    for dialect in dialects:
        lines += [f"In `{dialect.name}`:", "", "```http", *_message(dialect, reason), "```", ""]
    return "\n".join(lines)


def _message(dialect: Dialect, reason: Reason) -> list[str]:
    answer = example_answer(dialect, reason)
    status_line = f"HTTP/1.1 {answer.status} {STATUS_TEXTS[answer.status]}"
    fields = [f"{name.decode()}: {value.decode()}" for name, value in answer.fields]
    return [status_line, *fields, "", answer.body.decode()]
