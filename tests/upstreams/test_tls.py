"""What is offered, trusted and said in words; handshakes are in `test_tls_connection`."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.upstreams.tls import TlsSettings, cause, client_context, protocol_fault
from tests.certificates import authority, issue, trust


def test_system_authorities_are_trusted_by_default() -> None:
    context = client_context(TlsSettings())
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_own_authority_replaces_those_of_the_system(tmp_path: Path) -> None:
    context = client_context(TlsSettings(ca=trust(tmp_path, authority())))
    assert len(context.get_ca_certs()) == 1


def test_verification_is_off_only_when_told_so() -> None:
    context = client_context(TlsSettings(is_verifying=False))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_files_that_cannot_be_used_raise_os_error(tmp_path: Path) -> None:
    mine = issue(tmp_path, authority(), "a.test", file="a")
    other = issue(tmp_path, authority(), "b.test", file="b")
    for settings in (
        TlsSettings(ca=tmp_path / "none.pem"),
        TlsSettings(ca=mine.key),
        TlsSettings(certificate=mine.certificate, key=other.key),
        TlsSettings(certificate=mine.certificate),
    ):
        with pytest.raises(OSError):  # noqa: PT011 - OpenSSL's texts differ by version
            client_context(settings)


def test_only_http_1_is_spoken() -> None:
    assert protocol_fault(None) == protocol_fault("http/1.1") == ""
    assert protocol_fault("h2") == "TLS: it chose the protocol 'h2', and only http/1.1 is spoken"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (ConnectionResetError(), "the connection ended during the TLS handshake"),
        (ssl.SSLError(1, "odd"), "TLS: odd"),
    ],
    ids=["errno", "silent", "odd"],
)
def test_cause_is_never_empty(error: OSError, text: str) -> None:
    assert text in cause(error)
