"""A small version of `make bench-cluster`, which the full one must not differ from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.cluster import servers
from bench.cluster.figures import PLANS, Results, report
from bench.cluster.killing import killed
from bench.cluster.limits import QUOTA, Limited, limited
from bench.cluster.nodes import Cluster, Settings
from bench.cluster.nodes import opened as gateways
from bench.cluster.revocations import revocations
from bench.machine import Absent

pytestmark = [pytest.mark.slow, pytest.mark.pure]  # starts the gateways from the sources

LEASE_SECONDS = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    settings = Settings(lease=f"{LEASE_SECONDS}s", patience="1s", plans=PLANS)
    try:
        with servers.opened(folder) as found, gateways(folder / "nodes", found, settings) as made:
            yield made
    except Absent as missing:
        pytest.skip(str(missing))


async def test_limits_of_three_gateways_hold_in_every_window_and_to_the_last_request(
    cluster: Cluster,
) -> None:
    found = await limited(cluster, "exact", 2.0)
    assert found.excess <= 0
    assert found.quota_admitted == QUOTA
    assert found.admitted > 100  # more than the burst: time has refilled it
    assert found.broken == 0
    assert found.is_kept


async def test_a_key_revoked_at_any_gateway_is_let_through_by_none_when_the_call_returns(
    cluster: Cluster,
) -> None:
    found = await revocations(cluster, 80, 2.0)
    assert (
        found.late == 0
    )  # of calls that reached everybody: on a busy machine one may end with 202
    assert found.broken == 0
    assert found.revoked > 5
    assert found.refused > 0


async def test_a_leader_that_is_killed_is_noticed_by_no_caller_of_the_others(
    cluster: Cluster,
) -> None:
    found = await killed(cluster, "exact")
    assert found.others_failed == 0
    assert found.leader not in ("", found.name)
    assert found.named > 0
    assert found.named_until < LEASE_SECONDS + 10
    assert found.own_refused > 0
    assert found.excess <= 0
    assert found.acknowledged == "3/3"
    text = report(Results(killed=[found]), 0.0)
    assert "NOT KEPT" not in text
    assert "| of these failed | 0 |" in text


def test_what_does_not_hold_is_said() -> None:
    broken = Limited(
        mode="exact",
        seconds=1.0,
        asked=9,
        admitted=9,
        excess=0.5,
        allowed=0.0,
        quota_asked=9,
        quota_admitted=QUOTA,
        broken=0,
    )
    assert report(Results(limited=[broken]), 0.0).startswith("**NOT KEPT")
