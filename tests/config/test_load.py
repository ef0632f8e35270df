"""From a file to a config, or to everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.load import check, load
from gateway.config.model import Config
from gateway.config.places import anchored
from gateway.config.problems import ConfigErrors
from tests.config.sample import HEAD, NOTHING, PEPPER, loaded, write


def test_smallest_config_is_version_and_pepper(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config == Config.model_validate(
        {"version": 1, "peppers": {"current": "p1", "p1": PEPPER}}
    )
    assert config.peppers.keys["p1"].get_secret_value() == PEPPER


def test_load_raises_every_problem_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path, "a: 1\nb: 2\n"), NOTHING)
    assert len(caught.value.problems) == 4
    assert str(caught.value).count("\n") == 3


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    config, (found,) = check(tmp_path / "gone.yaml", NOTHING)
    assert config is None
    assert str(found) == f"{tmp_path / 'gone.yaml'}: cannot be read: No such file or directory"


def test_repr_of_a_config_shows_no_secret(tmp_path: Path) -> None:
    token = "t0ken" * 8
    text = (
        f"listeners: {{admin: {{bind: '127.0.0.1:9901', token: {token}}}}}\n"
        "upstreams: {u: {targets: ['http://x']}}\n"
        "routes:\n  - name: a\n    match: {path: /a}\n    upstream: u\n"
        "    headers: {request: {set: {Authorization: Basic hunter2}}}\n"
    )
    shown = repr(loaded(tmp_path, text))
    assert PEPPER not in shown
    assert token not in shown
    assert "hunter2" not in shown


def test_relative_paths_start_at_the_folder_of_the_file() -> None:
    assert anchored("/etc/tollhouse/config.yaml", "data/x.db") == Path("/etc/tollhouse/data/x.db")
    assert anchored("/etc/tollhouse/config.yaml", "/var/x.db") == Path("/var/x.db")


@pytest.mark.slow
def test_thousands_of_routes_load_without_a_problem(tmp_path: Path) -> None:
    routes = "".join(
        f"  - {{name: r{n}, match: {{path: '/v1/r{n}/{{id}}'}}, upstream: u}}\n"
        for n in range(3000)
    )
    config = loaded(tmp_path, f"upstreams: {{u: {{targets: ['http://x']}}}}\nroutes:\n{routes}")
    assert len(config.routes) == 3000


_KEYS = st.sampled_from([*Config.model_fields, "name", "match", "path", "u", "rate", "targets"])
_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_KEYS, _TREES, max_size=5))
def test_no_content_makes_check_raise(tmp_path: Path, content: dict[str, object]) -> None:
    # JSON is YAML, but for what YAML cannot hold: those files are problems too.
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in content.items())
    config, found = check(write(tmp_path, HEAD + text), NOTHING)
    assert (config is None) == bool(found)
    assert all(problem.file for problem in found)
