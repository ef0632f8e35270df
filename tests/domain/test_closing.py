from __future__ import annotations

from gateway.domain.closing import Closed, Refused
from gateway.telemetry.families import FAMILIES


def test_every_cause_is_a_label_of_its_metric_and_explained_there() -> None:
    meanings = {family.name: family.meaning for family in FAMILIES}
    for name, causes in (
        ("connections_refused_total", list(Refused)),
        ("connections_closed_total", list(Closed)),
    ):
        assert all(f"`{cause}`" in meanings[name] for cause in causes)
        assert len({cause.value for cause in causes}) == len(causes)
