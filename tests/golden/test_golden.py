from __future__ import annotations

import pytest

from gateway.domain.denial import Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.render import Dialect
from tests.golden.cases import ROOT, all_rendered, path_of, rendered


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("reason", Reason)
def test_every_answer_is_its_golden_file_byte_for_byte(name: str, reason: Reason) -> None:
    expected = path_of(name, reason).read_bytes()
    assert rendered(Dialect(DIALECTS[name]), reason) == expected


def test_there_is_no_golden_file_without_a_reason_and_a_dialect() -> None:
    assert set(ROOT.glob("*/*.http")) == {path for path, _ in all_rendered()}
