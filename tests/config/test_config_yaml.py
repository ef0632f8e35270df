"""The shipped `config.yaml` is a manual: whole, true and ready to run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.fields import ANY_NAME, keys
from gateway.config.load import check, load
from gateway.config.model import Config, Section
from tests.certificates import authority, issue, trust
from tests.config.sample import NOTHING, PEPPER, write

SHIPPED = Path(__file__).parents[2] / "config.yaml"
TEXT = SHIPPED.read_text("utf-8")

_DEFAULT = re.compile(r"^( *)#(?=[^ |#\n])", re.MULTILINE)
_EXAMPLE = re.compile(r"^( *)#\| ?", re.MULTILINE)


def with_defaults(text: str) -> str:
    """Uncomment every `#key: default`, but not the prose."""
    return _DEFAULT.sub(r"\1", text)


def with_examples(text: str) -> str:
    """Uncomment every default and every `#| example`."""
    return with_defaults(_EXAMPLE.sub(r"\1", text))


def read(folder: Path, text: str) -> Config:
    write(folder, PEPPER + "\n", "data/pepper")
    ca, tls = authority(), folder / "tls"
    tls.mkdir(exist_ok=True)
    for host in ("api", "admin", "metrics", "keys"):
        issue(tls, ca, f"{host}.example.com", file=f"{host}.example.com")
    for name in ("clients-ca.pem", "operators-ca.pem"):
        trust(tls, ca, name)
    return load(write(folder, text), NOTHING)


def test_shipped_file_has_no_problem(tmp_path: Path) -> None:
    write(tmp_path, PEPPER + "\n", "data/pepper")
    assert check(write(tmp_path, TEXT), NOTHING)[1] == []


def test_commented_keys_show_their_defaults(tmp_path: Path) -> None:
    shown = with_defaults(TEXT)
    assert shown != TEXT
    assert read(tmp_path, shown) == read(tmp_path, TEXT)


def test_examples_are_right(tmp_path: Path) -> None:
    config = read(tmp_path, with_examples(TEXT))
    assert set(config.key_formats) == {"tollhouse", "jobhive", "legacy"}
    assert config.bootstrap.keys[0].tenant == "demo"


def test_every_key_of_the_model_is_mentioned_and_no_other(tmp_path: Path) -> None:
    config = read(tmp_path, with_examples(TEXT))
    mentioned = _given(config, "")
    declared = {key.path for key in keys()}
    assert declared - mentioned == set()
    assert mentioned - declared == set()


def _given(section: Section, prefix: str) -> set[str]:
    """Return the paths of all keys that were given, in the form of the reference."""
    found: set[str] = set()
    for name in section.model_fields_set:
        known = name in type(section).model_fields
        path = f"{prefix}.{name if known else ANY_NAME}".lstrip(".")
        found.add(path)
        value = getattr(section, name)
        children = [(value, path)]
        if isinstance(value, tuple):
            suffix = "" if name == "rate" else "[]"
            children = [(item, path + suffix) for item in value]
        elif isinstance(value, dict):
            children = [(item, f"{path}.{ANY_NAME}") for item in value.values()]
        for child, child_path in children:
            if isinstance(child, Section):
                found |= _given(child, child_path)
    return found


def test_demo_serves_loopback_and_keeps_its_secrets_out_of_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, TEXT)
    assert config.listeners.public.bind == "127.0.0.1:8080"
    assert config.listeners.metrics.bind == "127.0.0.1:9100"
    assert config.listeners.admin.bind == "unix:data/admin.sock"
    assert config.store.path == "data/tollhouse.db"
    (target,) = config.upstreams["demo"].targets
    assert target.url == "http://127.0.0.1:8081"
    assert "${file:data/pepper}" in TEXT


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/api/v1/jobs", ("jobs:read",)),
        ("POST", "/api/v1/jobs", ("jobs:write",)),
        ("DELETE", "/api/v1/jobs/{id}", ("jobs:delete",)),
        ("GET", "/v1/interviews/{id}", ("interviews:read",)),
        ("GET", "/v1/candidates", ("candidates:read",)),
        ("GET", "/v1/events", ("demo:read",)),
        ("GET", "/v1/account/profile", ()),
        ("GET", "/v1/status", ()),
    ],
)
def test_demo_routes_require_their_scopes(
    tmp_path: Path, method: str, path: str, scopes: tuple[str, ...]
) -> None:
    (route,) = [
        route
        for route in read(tmp_path, TEXT).routes
        if route.match.path == path and method in route.match.methods
    ]
    assert route.scopes == scopes
    assert (route.auth == "none") == (path == "/v1/status")


def test_missing_pepper_file_is_told_with_its_path(tmp_path: Path) -> None:
    _, (found,) = check(write(tmp_path, TEXT), NOTHING)
    assert found.path == "peppers.p1"
    assert "data/pepper' does not exist" in found.message


def test_lines_are_short_enough_to_read() -> None:
    assert max(map(len, TEXT.splitlines())) <= 120
