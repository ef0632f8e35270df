from __future__ import annotations

import pytest

from gateway.domain.denial import VERDICTS, Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.render import Dialect
from gateway.domain.reference import example, example_answer, render_reasons_reference


@pytest.fixture(scope="module")
def page() -> str:
    return render_reasons_reference()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_row_and_a_section_with_all_that_the_table_says(
    page: str, reason: Reason
) -> None:
    verdict = VERDICTS[reason]
    assert f"| [`{reason.value}`](#{reason.value}) | {verdict.status} |" in page
    section = page.split(f"\n## {reason.value}\n")[1].split("\n## ")[0]
    for text in (verdict.title, verdict.detail, verdict.remedy, verdict.log_level):
        assert text in section
    assert f"Blame: {verdict.blame.value}" in section
    for name, definition in DIALECTS.items():
        assert f"In `{name}`:" in section
        assert example_answer(Dialect(definition), reason).body.decode() in section


def test_the_page_is_the_same_each_time_and_tells_nothing_internal(page: str) -> None:
    assert render_reasons_reference() == page
    assert "only for the log" not in page
    assert page.endswith("```\n")


@pytest.mark.parametrize("reason", Reason)
def test_an_example_names_only_what_its_reason_may_name(reason: Reason) -> None:
    denial = example(reason)
    assert bool(denial.required_scopes) == (reason is Reason.INSUFFICIENT_SCOPE)
    assert bool(denial.client_address) == (reason is Reason.IP_NOT_ALLOWED)
    assert bool(denial.allow) == (reason is Reason.METHOD_NOT_ALLOWED)
    assert (denial.retry_after_seconds > 0) == (VERDICTS[reason].status == 429)
