"""TLS, health checks and certificates of upstreams say one thing, and can do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check
from tests.certificates import authority, issue, trust
from tests.config.sample import HEAD, NOTHING, loaded, said, write


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        (
            "targets: ['https://a', 'http+unix:/a', 'http://b']",
            "upstreams.u.targets[2]: is without TLS, while another target has it "
            "(a request may go to any of them, and would cross in the open)",
        ),
        (
            "targets: ['http://a'], tls: {minimum_version: '1.3'}",
            "upstreams.u.tls: has no effect: no target is an `https://` URL",
        ),
        (
            "targets: ['https://a'], tls: {key: k.pem}",
            "upstreams.u.tls.key: belongs to no certificate (set `certificate` as well)",
        ),
        (
            "targets: ['https://a'], tls: {insecure_skip_verify: true, server_name: a.test}",
            "upstreams.u.tls.server_name: has no effect: `insecure_skip_verify` accepts every "
            "certificate",
        ),
        (
            "targets: ['http://a'], health: {active: {interval: 1s}}",
            "upstreams.u.health.active: has no effect without a `path`",
        ),
        (
            "targets: ['http://a'], health: {active: {path: /h, interval: 1s}}",
            "upstreams.u.health.active.timeout: is longer than the interval (1 s) "
            "(a check ends before the next one begins)",
        ),
        (
            "targets: ['http://a'], health: {active: {path: /h, method: HEAD, body_contains: x}}",
            "upstreams.u.health.active.body_contains: can never be found: the answer to HEAD has "
            "no body (`method: GET`)",
        ),
        (
            "targets: ['http://a'], health: {active: {path: h}}",
            "upstreams.u.health.active.path: must be a path that starts with `/`, in printable "
            "ASCII without spaces and `#`; or empty for none",
        ),
        (
            "targets: ['http://a'], health: {active: {path: /h, statuses: [200-100]}}",
            "upstreams.u.health.active.statuses[0]: must be a status such as `200` or a range "
            "such as `200-299`",
        ),
        (
            "targets: ['http://a'], health: {active: {path: /h, headers: {Host: x}}}",
            "upstreams.u.health.active.headers.Host: belongs to the connection or frames the "
            "message: it cannot be configured",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(tmp_path: Path, upstream: str, message: str) -> None:
    assert said(tmp_path, f"upstreams: {{u: {{{upstream}}}}}") == [message]


def test_statuses_may_be_numbers_and_ranges(tmp_path: Path) -> None:
    text = "upstreams: {u: {targets: ['http://a'], health: {active: {path: /h?x=1, statuses: [204, 300-399]}}}}"
    config = loaded(tmp_path, text)
    assert config.upstreams["u"].health.active.statuses == ("204", "300-399")


def test_secret_of_the_health_page_is_not_shown(tmp_path: Path) -> None:
    headers = "headers: {Authorization: Bearer hunter2}"
    text = (
        f"upstreams: {{u: {{targets: ['http://a'], health: {{active: {{path: /h, {headers}}}}}}}}}"
    )
    assert "hunter2" not in repr(loaded(tmp_path, text))


def tls(**files: str) -> str:
    listed = ", ".join(f"{key}: {value}" for key, value in files.items())
    return f"upstreams: {{u: {{targets: ['https://a'], tls: {{{listed}}}}}}}\n"


def test_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    ca = authority()
    trust(tmp_path, ca)
    issue(tmp_path, ca, "gateway.test")
    assert said(tmp_path, tls(ca="ca.pem", certificate="server.pem", key="server.key")) == []


def test_file_that_is_missing_is_told_at_its_place(tmp_path: Path) -> None:
    _, (problem,) = check(write(tmp_path, HEAD + tls(ca="ca.pem")), NOTHING)
    assert (problem.line, problem.path) == (3, "upstreams.u.tls.ca")
    assert problem.message.endswith("ca.pem' does not exist")


def test_each_file_is_told_apart(tmp_path: Path) -> None:
    ca = authority()
    issue(tmp_path, ca, "gateway.test")
    issue(tmp_path, ca, "other.test", file="other")
    (found,) = said(tmp_path, tls(certificate="server.pem", key="other.key"))
    assert found.startswith("upstreams.u.tls.key: ")
    assert found.endswith("other.key' is the key of another certificate")
    (found,) = said(tmp_path, tls(certificate="server.pem"))
    assert found.endswith("server.pem' holds no private key in PEM form")
    assert found.startswith("upstreams.u.tls.certificate: ")
    (found,) = said(tmp_path, tls(certificate="server.key", key="none"))
    assert found.endswith("server.key' holds no certificate in PEM form")


def test_expired_certificate_is_a_warning_that_does_not_stop_the_start(tmp_path: Path) -> None:
    issue(tmp_path, authority(), "gateway.test", valid_days=-1)
    path = write(tmp_path, HEAD + tls(certificate="server.pem", key="server.key"))
    config, (problem,) = check(path, NOTHING)
    assert config is not None
    assert problem.is_warning
    assert "config.yaml:3:60: warning: upstreams.u.tls.certificate: " in str(problem)
    assert "has expired on " in problem.message


def test_authority_beside_its_expired_predecessor_is_no_reason_to_warn(tmp_path: Path) -> None:
    old = issue(tmp_path, authority(), "old.test", file="old", valid_days=-1)
    new = trust(tmp_path, authority(), "new.pem")
    both = old.certificate.read_text() + new.read_text()
    write(tmp_path, both, "both.pem")
    write(tmp_path, old.certificate.read_text(), "old.pem")
    assert said(tmp_path, tls(ca="both.pem")) == []
    _, (problem,) = check(write(tmp_path, HEAD + tls(ca="old.pem")), NOTHING)
    assert problem.is_warning
