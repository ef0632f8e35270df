"""What is said of a database is said where there is one, and no message repeats an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check
from tests.certificates import authority, issue, trust
from tests.config.sample import HEAD, NOTHING, loaded, said, write

URL = "postgresql://u:hunter2@db.example/keys"


def test_an_address_alone_stands_for_the_section(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"store: {URL}\n")
    assert config.store.url.get_secret_value() == URL
    assert config.store.path == "data/tollhouse.db"
    assert "hunter2" not in repr(config)


def test_an_address_may_come_from_a_file(tmp_path: Path) -> None:
    write(tmp_path, f"{URL}\n", "url")
    for text in ("store: ${file:url}\n", "store: {url: '${file:url}'}\n"):
        assert loaded(tmp_path, text).store.url.get_secret_value().strip() == URL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "store: data/keys.db",
            "store: must be an address such as postgresql://user@host:5432/database",
        ),
        (
            "store: {url: 'postgresql://hunter2@/d'}",
            "store.url: names no host: write host, host:port or [v6]:port",
        ),
        (
            "store: {connections_max: 9}",
            "store.connections_max: has no effect: keys are kept in a file (set `store.url`, or leave it out)",
        ),
        (
            "store: {prepared_statements: false}",
            "store.prepared_statements: has no effect: keys are kept in a file (set `store.url`, or leave it out)",
        ),
        (
            f"store: {{session_url: '{URL}'}}",
            "store.session_url: has no effect: keys are kept in a file (set `store.url`, or leave it out)",
        ),
        (
            "cluster: {lease: 5s}",
            "cluster: has no effect: a file is not shared between gateways (set `store.url`, or leave it out)",
        ),
        (
            "store: {snapshot: data/tollhouse.db}",
            "store.snapshot: is the store itself (name another file)",
        ),
        (
            "on_failure: {keys: {mode: deny, max_age: 1h}}",
            "on_failure.keys.max_age: has no effect: with `mode: deny` nothing is believed (leave it out)",
        ),
        (
            "store: {snapshot: other}\non_failure: {keys: deny}",
            "store.snapshot: has no effect: with `on_failure.keys: deny` no snapshot is kept (leave it out)",
        ),
        (
            "on_failure: {keys: {max_age: 500ms}}",
            "on_failure.keys.max_age: must be a second or more; `on_failure.keys: deny` believes nothing",
        ),
        (
            f"store: {URL}\non_failure: {{keys: {{max_age: 11s}}}}",
            "on_failure.keys.max_age: is longer than `cluster.lease`: after that the other gateways do without this"
            " one's answer, and a revoked key would go on working here (raise `cluster.lease`, and a revocation waits"
            " that long for a gateway that is cut off)",
        ),
        (
            f"store: {URL}\ncluster: {{lease: 500ms}}",
            "cluster.lease: must be a second or more: a busy machine stands still for longer",
        ),
        (
            f"store: {{url: '{URL}', session_url: 'postgresql://u@h/other'}}",
            "store.session_url: leads to another database than `url`",
        ),
        (
            "store: {url: 'postgresql://u@h/d?sslmode=disable', tls: {key: key.pem}}",
            "store.tls: has no effect: the address asks for no TLS (write ?sslmode=verify-full at its end)",
        ),
        (
            f"store: {{url: '{URL}', tls: {{key: key.pem}}}}",
            "store.tls.key: belongs to no certificate (set `certificate` as well)",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_with_advice(tmp_path: Path, text: str, message: str) -> None:
    found = said(tmp_path, text + "\n")
    assert message in found
    assert "hunter2" not in "".join(found)


def test_files_of_the_database_are_looked_at(tmp_path: Path) -> None:
    ca = authority()
    trust(tmp_path, ca)
    issue(tmp_path, ca, "gateway.example", file="own")
    tls = "ca: ca.pem, certificate: own.pem, key: own.key"
    text = f"store: {{url: '{URL}', tls: {{{tls}}}}}\n"
    assert loaded(tmp_path, text).store.tls.ca == "ca.pem"
    (tmp_path / "ca.pem").unlink()
    _, problems = check(write(tmp_path, HEAD + text), NOTHING)
    assert "store.tls.ca" in str(problems[0])


def test_an_authority_that_is_not_asked_has_no_effect(tmp_path: Path) -> None:
    trust(tmp_path, authority())
    url = f"{URL}?sslmode=require"
    text = f"store: {{url: '{url}', tls: {{ca: ca.pem}}}}\n"
    assert said(tmp_path, text) == [
        "store.tls.ca: has no effect: `sslmode=require` believes every server"
        " (write ?sslmode=verify-full)"
    ]


def test_a_local_database_may_be_asked_to_prove_itself(tmp_path: Path) -> None:
    trust(tmp_path, authority())
    local = "postgresql://u@localhost/d"
    assert said(tmp_path, f"store: {{url: '{local}', tls: {{certificate: x.pem}}}}\n")[
        0
    ].startswith("store.tls: has no effect")
    loaded(tmp_path, f"store: {{url: '{local}', tls: {{ca: ca.pem}}}}\n")
