"""TLS as clients see it that others wrote: curl, openssl and Python, against a real process."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.certificates import authority, client_context, issue
from tests.e2e.process import Running, running

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl"
)

CONFIG = """
version: 1
listeners:
  public:
    bind: "127.0.0.1:0"
    tls:
      certificates:
        - {certificate: api.test.pem, key: api.test.key}
        - {certificate: any.shop.test.pem, key: any.shop.test.key}
      client_certificates: {mode: optional, ca: clients.pem}
      strict_transport_security: {max_age: 30d}
  admin:
    bind: "127.0.0.1:ADMIN"
    token: "0123456789abcdef0123456789abcdef"
    tls: {certificates: [{certificate: admin.test.pem, key: admin.test.key}]}
  metrics: {bind: "127.0.0.1:0"}
peppers: {current: p1, p1: "${file:data/pepper}"}
identity_headers: {certificate_subject: X-Gateway-Subject}
upstreams: {up: {targets: ["UPSTREAM"]}}
routes:
  - {name: echo, match: {prefix: /v1/echo}, auth: none, upstream: up, body_bytes_max: 1GiB}
  - {name: bytes, match: {path: "/v1/bytes/{n}"}, auth: none, upstream: up}
  - {name: events, match: {path: /v1/events}, auth: none, upstream: up}
"""


@dataclass
class Site:
    gateway: Running
    folder: Path
    ca: trustme.CA

    @property
    def port(self) -> str:
        return self.gateway.public.rpartition(":")[2]

    def curl(self, host: str, path: str, *options: str, status: int = 0) -> str:
        """Run curl as a client on the internet would, with the name resolved to us."""
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--include", "--max-time", "20", "--cacert", "ca.pem",
             "--resolve", f"{host}:{self.port}:127.0.0.1", *options, f"https://{host}:{self.port}{path}"],
            cwd=self.folder, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    def s_client(self, *options: str, typed: str = "") -> str:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", "ca.pem", *options],
            cwd=self.folder, input=typed, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def site(demo_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, ca, clients = tmp_path_factory.mktemp("tls"), authority(), authority()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    clients.cert_pem.write_to_path(folder / "clients.pem")
    issue(folder, ca, "api.test", file="api.test")
    issue(folder, ca, "*.shop.test", file="any.shop.test")
    issue(folder, ca, "admin.test", file="admin.test")
    issue(folder, clients, file="jobs", common_name="jobs")
    text = CONFIG.replace("UPSTREAM", demo_upstream).replace("ADMIN", str(free_port()))
    with running(folder, demo_upstream, text) as gateway:
        yield Site(gateway, folder, ca)


def test_curl_gets_the_certificate_of_each_host(site: Site) -> None:
    for host in ("api.test", "a.shop.test", "b.shop.test"):
        answer = site.curl(host, "/v1/echo")
        assert answer.startswith("HTTP/1.1 200 OK")
        assert "\nStrict-Transport-Security: max-age=2592000\n" in answer
        told = json.loads(answer[answer.index("{") :])["headers"]
        assert ["X-Forwarded-Proto", "https"] in told
    assert "SSL" in site.curl("a.b.shop.test", "/v1/echo", status=60)


def test_curl_is_told_when_its_host_is_another_certificate_s(site: Site) -> None:
    answer = site.curl("api.test", "/v1/echo", "--header", "Host: a.shop.test")
    assert answer.startswith("HTTP/1.1 421 Misdirected Request")
    assert "misdirected_request" in answer


@pytest.mark.parametrize(("version", "status"), [("--tls-max 1.2", 35), ("--tlsv1.3", 56)])
def test_curl_shows_a_client_certificate(site: Site, version: str, status: int) -> None:
    """A client of TLS 1.3 learns of a refusal only when it reads, after the handshake."""
    identity = ("--cert", "jobs.pem", "--key", "jobs.key", *version.split())
    assert "CN=jobs," in site.curl("api.test", "/v1/echo", *identity)
    forged = ("--header", "X-Gateway-Subject: CN=jobs", *version.split())
    assert "CN=jobs" not in site.curl("api.test", "/v1/echo", *forged)
    foreign = ("--cert", "api.test.pem", "--key", "api.test.key", *version.split())
    site.curl("api.test", "/v1/echo", *foreign, status=status)


def test_curl_uses_one_connection_for_many_requests(site: Site) -> None:
    url = f"https://api.test:{site.port}/v1/echo"
    answer = site.curl("api.test", "/v1/echo", "--verbose", url, url)
    assert answer.count("HTTP/1.1 200 OK") >= 3
    assert answer.lower().count("ssl connection using") == 1


def test_long_bodies_cross_curl_whole(site: Site) -> None:
    size = 20 * 2**20
    got = site.folder / "got"
    site.curl("api.test", f"/v1/bytes/{size}", "--output", str(got), "--no-include")
    assert got.stat().st_size == size
    answer = site.curl("api.test", "/v1/echo", "--data-binary", f"@{got}")
    assert hashlib.sha256(got.read_bytes()).hexdigest() in answer


def test_openssl_negotiates_what_we_offer_and_nothing_older(site: Site) -> None:
    new = site.s_client("-servername", "api.test", "-alpn", "h2,http/1.1")
    assert "Verify return code: 0 (ok)" in new
    assert "ALPN protocol: http/1.1" in new
    assert "TLSv1.3" in new
    assert "Compression: NONE" in new
    older = site.s_client("-servername", "api.test", "-tls1_2")
    assert "Cipher is ECDHE-ECDSA-" in older
    for option in ("-tls1_1", "-tls1"):
        refused = site.s_client("-servername", "api.test", option, "-cipher", "ALL:@SECLEVEL=0")
        assert "alert protocol version" in refused
    static = site.s_client("-tls1_2", "-cipher", "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
    assert "alert handshake failure" in static


def test_openssl_may_not_renegotiate(site: Site) -> None:
    said = site.s_client("-servername", "api.test", "-tls1_2", typed="R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said


def test_openssl_resumes_its_session(site: Site) -> None:
    request = "GET /v1/echo HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"
    common = ("-servername", "api.test", "-ign_eof")
    site.s_client(*common, "-sess_out", "session.pem", typed=request)
    assert "Reused, TLSv1.3" in site.s_client(*common, "-sess_in", "session.pem", typed=request)


def test_http_in_clear_is_answered_in_clear(site: Site) -> None:
    done = subprocess.run(
        ["curl", "--silent", "--include", f"http://{site.gateway.public}/v1/echo"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("HTTP/1.1 400 Bad Request")
    assert done.stdout.endswith("This port speaks HTTPS.\n")


def test_python_sees_a_clean_end(site: Site) -> None:
    host, port = site.gateway.public.split(":")
    raw = socket.create_connection((host, int(port)), 10)
    with client_context(site.ca).wrap_socket(
        raw, server_hostname="api.test", suppress_ragged_eofs=False
    ) as client:
        client.sendall(b"GET /v1/bytes/100000 HTTP/1.0\r\nHost: api.test\r\n\r\n")
        received = b""
        while data := client.recv(65536):  # raises without a close_notify
            received += data
    assert len(received.partition(b"\r\n\r\n")[2]) == 100_000


def test_the_command_line_speaks_tls_to_the_admin_listener(site: Site) -> None:
    site.gateway.cli("tenants", "create", "--id", "acme", "--name", "Acme")
    assert "acme" in site.gateway.cli("tenants", "list")


def test_a_minimal_python_client_of_tls_1_2_works(site: Site) -> None:
    context = client_context(site.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, port = site.gateway.public.split(":")
    with context.wrap_socket(
        socket.create_connection((host, int(port)), 10), server_hostname="x.shop.test"
    ) as client:
        client.sendall(b"GET /v1/echo HTTP/1.1\r\nHost: x.shop.test\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
