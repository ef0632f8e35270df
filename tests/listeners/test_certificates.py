"""Certificates: read from files, tried out, chosen by name."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from pathlib import Path

import pytest
import trustme

from gateway.listeners.certificates import (
    Certificate,
    CertificateError,
    HandshakeRules,
    Terms,
    read_certificate,
)
from gateway.listeners.handshake_outcome import OUTCOMES, outcome_of
from gateway.telemetry.families import FAMILIES
from tests.certificates import Issued, authority, client_context, issue

RULES = HandshakeRules()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


def read(files: Issued, rules: HandshakeRules = RULES) -> Certificate:
    return read_certificate(files.certificate, files.key, rules)


def shaken(server: ssl.SSLContext, client: ssl.SSLContext, host: str | None) -> ssl.SSLObject:
    """Shake hands in memory and return the client's end; raises what either end raises."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=host),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(5):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0]


# ---- reading


def test_names_and_expiry_are_read_from_the_certificate(ca: trustme.CA, tmp_path: Path) -> None:
    files = issue(
        tmp_path,
        ca,
        "API.example.com",
        "*.example.org",
        "192.0.2.1",
        "2001:db8::1",
        file="API.example.com",
        valid_days=30,
    )
    certificate = read(files)
    assert certificate.hosts == ("api.example.com", "*.example.org", "192.0.2.1", "[2001:db8::1]")
    assert certificate.expires_at == pytest.approx(time.time() + 30 * 86400, abs=60)
    assert certificate.label == "api.example.com"


def test_an_expired_certificate_is_read_all_the_same(ca: trustme.CA, tmp_path: Path) -> None:
    files = issue(tmp_path, ca, "old.test", file="old.test", valid_days=-1)
    assert read(files).expires_at < time.time()


def test_a_certificate_without_names_is_labelled_by_its_file(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=only.a.common.name", "-keyout", "k.pem", "-out", "c.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    certificate = read(Issued(tmp_path / "c.pem", tmp_path / "k.pem"))
    assert certificate.hosts == ()
    assert certificate.label == "c.pem"


def test_every_fault_of_a_file_is_told_with_its_path(ca: trustme.CA, tmp_path: Path) -> None:
    good, other = (
        issue(tmp_path, ca, "a.test", file="a.test"),
        issue(tmp_path, ca, "b.test", file="b.test"),
    )
    missing, junk = tmp_path / "missing.pem", tmp_path / "junk.pem"
    junk.write_text("hello")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    encrypted = tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "pkey", "-in", good.key, "-aes256", "-passout", "pass:secret", "-out", encrypted],
        check=True, capture_output=True,
    )  # fmt: skip

    def fault(certificate: Path, key: Path, rules: HandshakeRules = RULES) -> str:
        with pytest.raises(CertificateError) as caught:
            read_certificate(certificate, key, rules)
        return str(caught.value)

    assert fault(missing, good.key) == f"{missing}: does not exist"
    assert fault(good.certificate, missing) == f"{missing}: does not exist"
    assert fault(junk, good.key) == f"{junk}: holds no certificate in PEM form"
    assert fault(good.certificate, junk) == f"{junk}: holds no private key in PEM form"
    assert fault(good.key, good.certificate).endswith("holds no certificate in PEM form")
    another = f"{other.key}: is the key of another certificate"
    assert fault(good.certificate, other.key) == another
    assert fault(good.certificate, encrypted).startswith(f"{encrypted}: is encrypted")
    assert fault(broken, good.key) == f"{broken}: holds a certificate that cannot be read"
    asking = HandshakeRules(client_mode="required", client_ca=missing)
    assert fault(good.certificate, good.key, asking) == f"{missing}: does not exist"


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=a",
         "-keyout", "k.pem", "-out", "c.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(CertificateError, match="key too small"):
        read(Issued(tmp_path / "c.pem", tmp_path / "k.pem"))


# ---- what is negotiated


@pytest.mark.parametrize(
    "cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"]
)
def test_weak_ciphers_of_tls_1_2_are_not_spoken(
    ca: trustme.CA, tmp_path: Path, cipher: str
) -> None:
    client = client_context(ca)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError) as caught:
        shaken(read(issue(tmp_path, ca, "a.test", file="a.test")).context, client, "a.test")
    assert outcome_of(caught.value) == "cipher"


def test_all_ciphers_on_offer_have_forward_secrecy_and_authenticated_encryption(
    ca: trustme.CA, tmp_path: Path
) -> None:
    ciphers = read(issue(tmp_path, ca, "a.test", file="a.test")).context.get_ciphers()
    assert all(cipher["aead"] for cipher in ciphers)
    older = [cipher for cipher in ciphers if cipher["protocol"] != "TLSv1.3"]
    assert older
    assert all("ecdhe" in str(cipher["kea"]) for cipher in older)


@pytest.mark.parametrize(
    ("minimum", "maximum", "is_spoken"),
    [("TLSv1_2", "TLSv1_2", True), ("TLSv1_3", "TLSv1_2", False), ("TLSv1_3", "TLSv1_3", True)],
)
def test_the_minimum_version_is_kept(
    ca: trustme.CA, tmp_path: Path, minimum: str, maximum: str, is_spoken: bool
) -> None:
    rules = HandshakeRules(minimum_version=ssl.TLSVersion[minimum])
    client = client_context(ca)
    client.maximum_version = ssl.TLSVersion[maximum]
    context = read(issue(tmp_path, ca, "a.test", file="a.test"), rules).context
    if is_spoken:
        assert shaken(context, client, "a.test").version() == maximum.replace("_", ".")
        return
    with pytest.raises(ssl.SSLError) as caught:
        shaken(context, client, "a.test")
    assert outcome_of(caught.value) == "version"


def test_only_http_1_1_is_agreed_on(ca: trustme.CA, tmp_path: Path) -> None:
    context = read(issue(tmp_path, ca, "a.test", file="a.test")).context
    for offered, agreed in (
        (["h2", "http/1.1"], "http/1.1"),
        (["h2"], None),
        (["acme-tls/1"], None),
    ):
        client = client_context(ca)
        client.set_alpn_protocols(offered)
        assert shaken(context, client, "a.test").selected_alpn_protocol() == agreed


# ---- which one


def test_the_exact_name_wins_then_the_wildcard_then_the_first(
    ca: trustme.CA, tmp_path: Path
) -> None:
    first = read(issue(tmp_path, ca, "first.test", file="1"))
    wild = read(issue(tmp_path, ca, "*.example.com", "example.com", file="2"))
    exact = read(issue(tmp_path, ca, "api.example.com", "192.0.2.1", "2001:db8::1", file="3"))
    late = read(issue(tmp_path, ca, "first.test", "late.test", file="4"))
    terms = Terms([first, wild, exact, late], RULES)
    strict = Terms([first, wild, exact, late], HandshakeRules(refuses_unknown_names=True))
    for host, expected in {
        "first.test": first,  # of two for one host the first
        "late.test": late,
        "example.com": wild,
        "www.example.com": wild,
        "api.example.com": exact,
        "192.0.2.1": exact,
        "[2001:db8::1]": exact,
    }.items():
        assert terms.choose(host) is strict.choose(host) is expected
    # A wildcard stands for one label, neither none nor two (RFC 9525 section 6.3).
    for host in ("a.b.example.com", ".example.com.", "com", "", "*", "xexample.com"):
        assert terms.choose(host) is first
        assert strict.choose(host) is None


def test_the_certificate_that_a_client_asks_for_is_shown(ca: trustme.CA, tmp_path: Path) -> None:
    certificates = [
        read(issue(tmp_path, ca, host, file=host)) for host in ("a.test", "*.b.test", "c.test")
    ]
    terms = Terms(certificates, RULES)
    front = terms.certificates[0].context
    for host, names in {"a.test": "a.test", "X.B.TEST": "*.b.test", "c.test": "c.test"}.items():
        shown = shaken(front, client_context(ca), host).getpeercert()
        assert shown is not None
        assert shown["subjectAltName"] == (("DNS", names),)


# ---- how it ended


def test_the_metric_names_every_outcome() -> None:
    (family,) = (each for each in FAMILIES if each.name == "tls_handshakes_total")
    assert set(re.findall(r"`(\w+)`", family.meaning)) == set(OUTCOMES)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "client_alert"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "client_alert"),
        ("CERTIFICATE_VERIFY_FAILED", "client_certificate"),
        ("WRONG_VERSION_NUMBER", "not_tls"),
        ("SOMETHING_NEW", "other"),
        (None, "other"),
    ],
)
def test_every_reason_has_a_word_of_the_closed_set(reason: str | None, outcome: str) -> None:
    error = ssl.SSLError(1, "text")
    error.reason = reason  # type: ignore[assignment]
    assert outcome_of(error) == outcome
    assert outcome in OUTCOMES
