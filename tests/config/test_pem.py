"""What is said about files that should hold certificates and keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from gateway.config.pem import (
    PEM_BYTES_MAX,
    PemError,
    check_authorities,
    check_key,
    read_certificates,
    staleness,
)
from gateway.domain.validity import Validity
from tests.certificates import authority, issue, trust

BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def complaint(check: Callable[..., object], *paths: Path) -> str:
    with pytest.raises(PemError) as caught:
        check(*paths)
    return str(caught.value)


def written(folder: Path, text: str) -> Path:
    path = folder / "written.pem"
    path.write_text(text)
    return path


def test_pair_that_fits_is_accepted(tmp_path: Path) -> None:
    issued = issue(tmp_path, authority(), "a.test")
    check_key(issued.certificate, issued.key)
    (validity,) = read_certificates(issued.certificate)
    assert staleness(validity, time.time()) == ""


def test_key_may_stand_in_the_file_of_the_certificate(tmp_path: Path) -> None:
    issued = issue(tmp_path, authority(), "a.test")
    both = written(tmp_path, issued.certificate.read_text() + issued.key.read_text())
    check_key(both, both)


def test_several_authorities_are_read(tmp_path: Path) -> None:
    pems = [trust(tmp_path, authority(name)).read_text() for name in "ab"]
    assert len(check_authorities(written(tmp_path, "".join(pems)))) == 2


def test_file_that_is_missing_or_no_file_is_told(tmp_path: Path) -> None:
    assert complaint(read_certificates, tmp_path / "none") == "does not exist"
    assert complaint(read_certificates, tmp_path) == "cannot be read: Is a directory"


def test_file_with_something_else_is_told(tmp_path: Path) -> None:
    issued = issue(tmp_path, authority(), "a.test")
    assert complaint(read_certificates, issued.key) == "holds no certificate in PEM form"
    assert complaint(check_authorities, issued.key) == "holds no certificate in PEM form"
    said = complaint(check_key, issued.certificate, issued.certificate)
    assert said == "holds no private key in PEM form"
    assert "cannot be read" in complaint(read_certificates, written(tmp_path, BROKEN))


def test_big_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(PEM_BYTES_MAX + 1)
    assert "is larger than" in complaint(read_certificates, path)


def test_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    ca = authority()
    one, other = issue(tmp_path, ca, "a.test"), issue(tmp_path, ca, "b.test", file="b")
    assert complaint(check_key, one.certificate, other.key) == "is the key of another certificate"


def test_key_that_is_damaged_is_told_without_its_content(tmp_path: Path) -> None:
    issued = issue(tmp_path, authority(), "a.test")
    issued.key.write_text("-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n")
    said = complaint(check_key, issued.certificate, issued.key)
    assert said.startswith("cannot be used: ")
    assert "SECRET" not in said


def test_encrypted_key_is_told_and_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    issued = issue(tmp_path, authority(), "a.test")
    key = serialization.load_pem_private_key(issued.key.read_bytes(), None)
    issued.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    assert "is encrypted" in complaint(check_key, issued.certificate, issued.key)


def test_dates_are_told_as_days() -> None:
    validity = Validity(86400.0, 2 * 86400.0)
    assert staleness(validity, 86400.0) == staleness(validity, 2 * 86400.0) == ""
    assert staleness(validity, 0.0) == "is not valid before 1970-01-02"
    assert staleness(validity, 3 * 86400.0) == "has expired on 1970-01-03"
