"""Every reason that a client can cause, caused over a real connection to a real process.

Run with `-s` to read the transcript: what was sent and what came back. Reasons that need a broken store or a
shutdown are proved beside the code that gives them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.domain.key_format import KeyFormat
from tests.e2e.process import Running, running
from tests.e2e.waiting import eventually

CONFIG = """
version: 1
listeners:
  public: {bind: "127.0.0.1:0", head_timeout: 500ms, body_timeout: 500ms}
  admin: {bind: "unix:data/admin.sock"}
  metrics: {bind: "127.0.0.1:0"}
client_address: {trusted_proxies: [127.0.0.1]}
peppers: {current: p1, p1: "${file:data/pepper}"}
scopes: {atoms: [read, write]}
authentication: {throttle: {failures: 3, per: 1h}}
plans:
  one: {rate: {per_hour: 1}}
  hourly: {quota: {per_hour: 1}}
  single: {concurrency: 1}
upstreams:
  up: {targets: ["UPSTREAM"]}
  nobody: {targets: ["http://127.0.0.1:1"]}
  liar: {targets: ["http://127.0.0.1:LIAR"]}
  silent: {targets: ["http://127.0.0.1:LIAR"], timeout: {response_headers: 300ms}}
routes:
  - {name: echo, match: {prefix: /v1/echo}, scopes: [read], upstream: up, body_bytes_max: 100}
  - {name: slow, match: {path: /v1/slow}, scopes: [read], upstream: up}
  - {name: write, match: {path: /write, methods: [POST]}, scopes: [write], upstream: up}
  - {name: live, match: {path: /live}, environments: [live], upstream: up}
  - {name: office, match: {path: /office}, ip_allowlist: [192.0.2.0/24], upstream: up}
  - {name: nobody, match: {path: /nobody}, upstream: nobody}
  - {name: liar, match: {path: /liar}, upstream: liar}
  - {name: silent, match: {path: /silent}, upstream: silent}
"""


@dataclass
class Site:
    gateway: Running
    keys: dict[str, str]

    def ask(self, raw: bytes, *, address: str = "198.51.100.1") -> tuple[int, str]:
        """Send raw bytes and return the status and the reason."""
        host, port = self.gateway.public.rsplit(":", 1)
        raw = raw.replace(b"\r\n", f"\r\nX-Forwarded-For: {address}\r\n".encode(), 1)
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(raw)
            received = b""
            while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                data = connection.recv(65536)
                if not data:
                    break
                received += data
        head, _, body = received.partition(b"\r\n\r\n")
        print(f"\n> {raw[:100]!r}\n< {head.splitlines()[0].decode()}\n< {body[:300].decode()}")
        return int(head.split(b" ")[1]), json.loads(body).get("code", "") if body.endswith(
            b"}"
        ) else ""

    def get(self, path: str, key: str = "", *, address: str = "198.51.100.1") -> tuple[int, str]:
        return self.ask(request(path, self.keys.get(key, key)), address=address)


def request(
    path: str, token: str = "", *, method: str = "GET", fields: str = "", body: str = ""
) -> bytes:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{bearer}{fields}\r\n{body}".encode()


@contextmanager
def liar() -> Iterator[int]:
    """Listen and answer with what is no HTTP, or, to /silent, not at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if b" /silent" not in connection.recv(65536):
                    connection.sendall(b"I am a teapot\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in held:
            connection.close()


@pytest.fixture(scope="module")
def site(demo_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("reasons")
    with liar() as port:
        text = CONFIG.replace("UPSTREAM", demo_upstream).replace("LIAR", str(port))
        with running(folder, demo_upstream, text) as gateway:
            gateway.cli("tenants", "create", "--id", "a", "--name", "A")
            gateway.cli("tenants", "create", "--id", "b", "--name", "B")
            yield Site(gateway, dict(_keys(gateway)))


def _keys(gateway: Running) -> Iterator[tuple[str, str]]:
    def key(name: str, *arguments: str, tenant: str = "a", environment: str = "live") -> str:
        options = ("--tenant", tenant, "--name", name, "--environment", environment)
        key_id, secret = gateway.create_key(*options, "--scope", "read", *arguments)
        ids[name] = key_id
        return secret

    ids: dict[str, str] = {}
    yield "good", key("good")
    yield "test", key("test", environment="test")
    yield "home", key("home", "--ip", "203.0.113.7")
    yield "one", key("one", "--plan", "one")
    yield "hourly", key("hourly", "--plan", "hourly")
    yield "single", key("single", "--plan", "single")
    yield "expired", key("expired", "--expires", "1s")
    yield "suspended", key("suspended")
    yield "revoked", key("revoked")
    yield "tenant", key("tenant", tenant="b")
    gateway.cli("keys", "suspend", ids["suspended"], "--reason", "test")
    gateway.cli("keys", "revoke", ids["revoked"], "--reason", "test")
    gateway.cli("tenants", "suspend", "b", "--reason", "test")
    time.sleep(1)  # the wall clock of the process: until `expired` has


def test_a_good_key_passes(site: Site) -> None:
    assert site.get("/v1/echo", "good")[0] == 200


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("/v1/echo", "", (401, "missing_credentials")),
        ("/v1/echo", "what,is,this", (401, "malformed_credentials")),
        ("/v1/echo", "expired", (401, "key_expired")),
        ("/v1/echo", "suspended", (401, "key_suspended")),
        ("/v1/echo", "revoked", (401, "key_revoked")),
        ("/v1/echo", "tenant", (403, "tenant_suspended")),
        ("/live", "test", (403, "env_mismatch")),
        ("/office", "good", (403, "ip_not_allowed")),
        ("/v1/echo", "home", (403, "ip_not_allowed")),
        ("/nowhere", "good", (404, "no_route")),
        ("/write", "good", (405, "method_not_allowed")),
        ("/v1/echo/../x", "good", (400, "ambiguous_path")),
        ("/v1/echo?" + "q" * 9000, "good", (414, "uri_too_long")),
        ("/nobody", "good", (502, "upstream_unreachable")),
        ("/liar", "good", (502, "upstream_bad_response")),
        ("/silent", "good", (504, "upstream_timeout")),
    ],
)
def test_get_is_refused_for_its_reason(
    site: Site, path: str, key: str, expected: tuple[int, str], request: pytest.FixtureRequest
) -> None:
    address = f"198.51.100.{10 + len(request.node.name) % 200}"
    assert site.get(path, key, address=address) == expected


def test_bad_checksum_and_unknown_key_are_told_apart_in_the_code_alone(site: Site) -> None:
    good = site.keys["good"]
    mistyped = good[:-1] + ("1" if good.endswith("0") else "0")
    assert site.get("/v1/echo", mistyped, address="192.0.2.1") == (401, "bad_checksum")
    stranger = KeyFormat("x", "sk", ("live",)).mint("live", "Z" * 43)
    assert site.get("/v1/echo", stranger, address="192.0.2.2") == (401, "unknown_key")


def test_guessing_is_slowed_down_and_does_not_lock_out_the_real_key(site: Site) -> None:
    assert (
        site.get("/v1/echo", "good", address="192.0.2.66")[0] == 200
    )  # from now on no look-up is needed
    statuses = [site.get("/v1/echo", "sk_live_guess", address="192.0.2.66") for _ in range(5)]
    assert statuses[-1] == (429, "auth_throttled")
    assert site.get("/v1/echo", "good", address="192.0.2.66")[0] == 200


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (request("/v1/echo", "K", fields="Authorization: Bearer x\r\n"), "duplicate_credentials"),
        (request("/v1/echo", "K", fields="Content-Length: 1\r\nContent-Length: 1\r\n"), "invalid_request"),
        (request("/v1/echo", "K", fields="X: " + "x" * 40000 + "\r\n"), "headers_too_large"),
        (request("/v1/echo", "K", method="POST", fields="Transfer-Encoding: gzip, chunked\r\n"), "not_implemented"),
        (request("/v1/echo", "K").replace(b"HTTP/1.1", b"HTTP/2.0"), "version_not_supported"),
        (request("/v1/echo", "K", fields="Via: 1.1 tollhouse\r\n"), "loop_detected"),
        (request("/v1/echo", "K", method="POST", fields="Content-Length: 101\r\n"), "body_too_large"),
        (request("/v1/echo", "K", method="POST", fields="Content-Length: 9\r\n", body="slow"), "request_timeout"),
        (b"GET /v1/echo HTTP/1.1\r\nHost", "request_timeout"),
        (request("/write", "K", method="POST"), "insufficient_scope"),
    ],
)  # fmt: skip
def test_request_is_refused_for_its_reason(site: Site, raw: bytes, expected: str) -> None:
    token = site.keys["good"].encode()
    status, code = site.ask(raw.replace(b"Bearer K", b"Bearer " + token), address="192.0.2.9")
    assert code == expected
    assert status >= 400


def test_limits_refuse_for_their_reason(site: Site) -> None:
    assert site.get("/v1/echo", "one")[0] == 200
    assert site.get("/v1/echo", "one") == (429, "rate_limited")
    assert site.get("/v1/echo", "hourly")[0] == 200
    assert site.get("/v1/echo", "hourly") == (429, "quota_exceeded")


def test_a_second_request_at_the_same_time_is_one_too_many(site: Site) -> None:
    host, port = site.gateway.public.rsplit(":", 1)

    def is_refused_beside_a_slow_one() -> bool:
        with socket.create_connection((host, int(port)), 5) as slow:
            slow.sendall(request("/v1/slow?seconds=2", site.keys["single"]))
            seen = [site.get("/v1/echo", "single") for _ in range(20)]
            return (429, "concurrency_limited") in seen and slow.recv(65536).startswith(
                b"HTTP/1.1 200 "
            )

    # Nothing says which of two connections is read first: the slow one may be the one that is too many.
    eventually(is_refused_beside_a_slow_one)
    eventually(lambda: site.get("/v1/echo", "single")[0] == 200)
