"""What TLS settings demand of each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check
from gateway.config.problems import quoted
from tests.certificates import authority, issue, trust
from tests.config.sample import HEAD, NOTHING, UPSTREAM, loaded, said, write


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the configurations below name."""
    folder, ca = tmp_path_factory.mktemp("pki"), authority()
    issue(folder, ca, "a.test", file="a")
    issue(folder, ca, "b.test", file="b")
    trust(folder, ca)
    return folder


@pytest.fixture
def tmp_path(tmp_path: Path, pki: Path) -> Path:
    for file in pki.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


FILES = "certificates: [{certificate: a.pem, key: a.key}]"


def public(tls: str, more: str = "") -> str:
    return f"listeners: {{public: {{tls: {{{tls}}}{more}}}}}\n"


def test_certificates_are_required_and_named_once(tmp_path: Path) -> None:
    assert said(tmp_path, public("minimum_version: 1.3")) == [
        "listeners.public.tls.certificates: required key is missing"
    ]
    assert said(tmp_path, public("certificates: []")) == [
        "listeners.public.tls.certificates: must not be empty"
    ]
    twice = "certificates: [{certificate: a.pem, key: a.key}, {certificate: a.pem, key: a.key}]"
    assert said(tmp_path, public(twice)) == [
        "listeners.public.tls.certificates[1].certificate: the certificate 'a.pem' is used twice"
    ]


@pytest.mark.parametrize("version", ["1.2", "1.3", "'1.2'", "'1.3'"])
def test_versions_may_be_written_as_numbers(tmp_path: Path, version: str) -> None:
    config = loaded(tmp_path, public(f"{FILES}, minimum_version: {version}"))
    assert config.listeners.public.tls is not None
    assert config.listeners.public.tls.minimum_version == version.strip("'")


@pytest.mark.parametrize("version", ["1.0", "1.1", "'1.1'", "3"])
def test_older_versions_cannot_be_configured(tmp_path: Path, version: str) -> None:
    (text,) = said(tmp_path, public(f"{FILES}, minimum_version: {version}"))
    assert text.startswith("listeners.public.tls.minimum_version: must be '1.2' or '1.3'")


def test_client_certificates_have_an_authority_of_their_own(tmp_path: Path) -> None:
    assert said(tmp_path, public(f"{FILES}, client_certificates: {{mode: required}}")) == [
        "listeners.public.tls.client_certificates.ca: required key is missing: "
        "whose certificates are accepted?"
    ]
    assert said(tmp_path, public(f"{FILES}, client_certificates: {{ca: ca.pem}}")) == [
        "listeners.public.tls.client_certificates.ca: means nothing while `mode` is off "
        "(optional or required)"
    ]
    good = public(f"{FILES}, client_certificates: {{mode: optional, ca: ca.pem}}")
    assert said(tmp_path, good) == []


@pytest.mark.parametrize("name", ["admin", "metrics"])
def test_the_other_listeners_obey_the_same_rules(tmp_path: Path, name: str) -> None:
    text = f"listeners: {{{name}: {{tls: {{{FILES}, client_certificates: {{mode: optional}}}}}}}}"
    (found,) = said(tmp_path, text)
    assert found.startswith(f"listeners.{name}.tls.client_certificates.ca: required")


def test_a_handshake_fits_into_the_time_of_a_head(tmp_path: Path) -> None:
    assert said(tmp_path, public(f"{FILES}, handshake_timeout: 20s")) == [
        "listeners.public.tls.handshake_timeout: is longer than `head_timeout`, within which a "
        "handshake has to end"
    ]
    assert said(tmp_path, public(f"{FILES}, handshake_timeout: 20s", ", head_timeout: 30s")) == []


@pytest.mark.parametrize(
    "promise",
    ["max_age: 365d", "max_age: 30d, include_subdomains: true", "include_subdomains: true"],
)
def test_preloading_is_agreed_to_only_with_what_the_lists_ask_for(
    tmp_path: Path, promise: str
) -> None:
    text = public(f"{FILES}, strict_transport_security: {{preload: true, {promise}}}")
    assert said(tmp_path, text) == [
        "listeners.public.tls.strict_transport_security.preload: needs `include_subdomains` and a "
        "`max_age` of at least 365d"
    ]


def test_no_route_sets_the_field_that_the_listener_sets(tmp_path: Path) -> None:
    route = (
        "routes: [{name: r, match: {path: /r}, upstream: u, "
        "headers: {response: {set: {strict-transport-security: x, Server: y}}}}]\n"
    )
    text = public(f"{FILES}, strict_transport_security: {{max_age: 30d}}") + UPSTREAM + route
    assert said(tmp_path, text) == [
        "routes[0].headers.response.set.strict-transport-security: is set by "
        "`listeners.public.tls` already"
    ]
    assert said(tmp_path, public(FILES) + UPSTREAM + route) == []


def test_a_header_for_certificates_needs_somebody_who_asks_for_them(tmp_path: Path) -> None:
    identity = "identity_headers: {certificate_subject: X-Subject}\n"
    assert said(tmp_path, public(FILES) + identity) == [
        "identity_headers.certificate_subject: no client shows a certificate "
        "(set `listeners.public.tls.client_certificates`)"
    ]
    clients = "client_certificates: {mode: optional, ca: ca.pem}"
    assert said(tmp_path, public(f"{FILES}, {clients}") + identity) == []


def test_headers_for_certificates_are_names_of_their_own(tmp_path: Path) -> None:
    clients = "client_certificates: {mode: optional, ca: ca.pem}"
    text = public(f"{FILES}, {clients}") + (
        "identity_headers: {certificate_subject: X-Gateway-Tenant, certificate_fingerprint: Via}\n"
    )
    assert said(tmp_path, text) == [
        "identity_headers.certificate_subject: the header 'x-gateway-tenant' is used twice",
        "identity_headers.certificate_fingerprint: 'via' is a header with another meaning",
    ]


def test_every_file_of_a_listener_is_looked_at(tmp_path: Path) -> None:
    for name in ("a.key", "ca.pem"):
        (tmp_path / name).unlink()
    clients = "client_certificates: {mode: optional, ca: ca.pem}"
    key, ca = quoted(f"{tmp_path}/a.key"), quoted(f"{tmp_path}/ca.pem")  # long paths are cut
    assert said(tmp_path, f"listeners: {{admin: {{tls: {{{FILES}, {clients}}}}}}}") == [
        f"listeners.admin.tls.certificates[0].key: {key} does not exist",
        f"listeners.admin.tls.client_certificates.ca: {ca} does not exist",
    ]


def test_what_has_expired_is_a_warning(tmp_path: Path) -> None:
    for name in ("a.key", "a.pem"):
        (tmp_path / name).unlink()
    issue(tmp_path, authority(), "a.test", file="a", valid_days=-1)
    _, (found,) = check(write(tmp_path, HEAD + public(FILES)), NOTHING)
    assert found.is_warning
    assert "has expired" in found.message
