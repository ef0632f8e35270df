"""What the subjects are given says what they are meant to do."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.everything import everything_on, like_the_peers
from bench.growth import many_routes
from bench.many_keys import fill, token
from bench.policy import FORMAT, damaged, make_policy
from bench.subjects import gateway_config
from bench.work import floods, get1k
from gateway.config.load import load


@pytest.mark.parametrize("change", [like_the_peers, everything_on], ids=["peers", "everything"])
def test_the_gateway_accepts_its_configuration(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(change(gateway_config(make_policy(), 8001, 8002))))
    assert len(load(path, {}).routes) == 20


def test_everything_on_means_address_rules_three_buckets_and_a_log() -> None:
    config = everything_on(gateway_config(make_policy(), 8001, 8002))
    route, key = config["routes"][0], config["bootstrap"]["keys"][0]
    (tenant,) = config["bootstrap"]["tenants"]
    for record in (route, key, tenant):
        assert record["ip_allowlist"]
        assert record["plan"]
    assert config["telemetry"]["access_log"]["path"] != "off"


def test_a_flood_counts_what_got_through_as_wrong() -> None:
    flood = floods(make_policy())[0]
    assert flood.failures(1000, refused=1000, broken=0) == 0
    assert flood.failures(1000, refused=500, broken=1) == 491
    assert get1k(make_policy()).failures(1000, refused=3, broken=1) == 4


def test_a_damaged_token_has_a_wrong_checksum() -> None:
    good = make_policy().load_keys[0].token
    assert len(damaged(good)) == len(good)
    assert damaged(good) != good


def test_many_routes_are_as_many_as_asked_for() -> None:
    policy = many_routes(50)
    assert len({route.path for route in policy.routes}) == 50


def test_a_filled_store_is_one_that_the_gateway_would_have_written(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path, 250, make_policy())
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("SELECT count(*) FROM keys").fetchone() == (250,)
        assert store.execute("SELECT count(*) FROM tenants").fetchone() == (3,)
        assert store.execute("PRAGMA foreign_key_check").fetchall() == []
        kinds = dict(store.execute("SELECT type, count(*) FROM sqlite_master GROUP BY type"))
    fill(tmp_path / "empty.db", 0, make_policy())
    with closing(sqlite3.connect(tmp_path / "empty.db")) as store:
        fresh = dict(store.execute("SELECT type, count(*) FROM sqlite_master GROUP BY type"))
    assert kinds == fresh


def test_tokens_of_a_filled_store_are_well_formed() -> None:
    assert FORMAT.mint("live", token(7)[len("bench_live_") :][: FORMAT.random_length]) == token(7)
