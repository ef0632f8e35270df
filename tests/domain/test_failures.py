from __future__ import annotations

from gateway.config.model import OnFailure
from gateway.domain.failures import DEPENDENCIES


def test_each_dependency_has_a_rule_and_each_rule_a_dependency() -> None:
    assert tuple(OnFailure.model_fields) == DEPENDENCIES
