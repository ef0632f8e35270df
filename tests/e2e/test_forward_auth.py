"""Proxies that forward by themselves and ask first: the examples of `deploy/forward-auth`, in the real programs."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.machine import free_port
from tests.e2e.crew import admin
from tests.e2e.process import ROOT, Running, running
from tests.e2e.waiting import eventually

EXAMPLES = ROOT / "deploy" / "forward-auth"
IDENTITY = ("Key-Id", "Lineage", "Tenant", "Key-Tenant", "Scopes", "Environment")


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed, so its example is NOT tested")
    return found


class Backend:
    """A backend that answers with what it was sent."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                told = {
                    "method": self.command,
                    "target": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": self.rfile.read(length).decode(),
                }
                body = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - as the library calls them

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """What the backend was sent."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def identity(self) -> dict[str, str]:
        """What the backend was told of the caller, without what is empty."""
        headers: dict[str, str] = self.told["headers"]
        names = {name: headers.get(f"x-gateway-{name.lower()}", "") for name in IDENTITY}
        return {name: value for name, value in names.items() if value}


@dataclass
class Site:
    """A proxy that asks a gateway."""

    proxy: str
    gateway: Running
    port: int
    key_id: str
    secret: str

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        secret: str | None = None,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = dict(fields or {})
        if secret != "":
            headers["Authorization"] = f"Bearer {secret or self.secret}"
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            read = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, read, answer.read())
        finally:
            connection.close()

    def lines(self, target: str) -> list[dict[str, Any]]:
        """Return what the access log says about requests for `target`."""

        def found() -> list[dict[str, Any]]:
            text = self.gateway.access_log.read_text().splitlines()
            return [line for line in map(json.loads, text) if line["target"] == target]

        eventually(lambda: bool(found()))
        return found()


CONFIG = """
version: 1
listeners:
  public: {bind: "127.0.0.1:0"}
  metrics: {bind: "127.0.0.1:0"}
  forward_auth: {bind: "127.0.0.1:%d"}
peppers: {current: p1, p1: "${file:data/pepper}"}
scopes: {atoms: ["jobs:read", "jobs:write"]}
plans: {narrow: {rate: {per_hour: 2}, owners: [route]}}
upstreams: {none: {targets: ["http://127.0.0.1:9"]}}
routes:
  - {name: jobs, match: {methods: [GET], prefix: /v1/jobs}, scopes: ["jobs:read"], upstream: none}
  - {name: write, match: {methods: [POST], prefix: /v1/jobs}, scopes: ["jobs:write"], upstream: none}
  - {name: narrow, match: {path: /v1/narrow}, plan: narrow, upstream: none}
  - {name: open, match: {path: /open}, auth: none, upstream: none}
  - {name: front, match: {hosts: [front.test], path: /site}, auth: none, upstream: none}
  - {name: back, match: {hosts: [back.test], path: /site}, scopes: ["jobs:write"], upstream: none}
"""


def nginx(folder: Path, site: str) -> list[str]:
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n{site}\n}}\n"
    )
    return [program("nginx"), "-c", str(config), "-p", str(folder)]


def caddy(folder: Path, site: str) -> list[str]:
    config = folder / "Caddyfile"
    config.write_text(f"{{\n\tadmin off\n\tstorage file_system {folder}/storage\n}}\n{site}")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]


def traefik(folder: Path, site: str) -> list[str]:
    dynamic = folder / "dynamic.yaml"
    dynamic.write_text(site)
    port = site.partition("entry port ")[2].split()[0]
    config = folder / "traefik.yaml"
    config.write_text(
        "global: {checkNewVersion: false, sendAnonymousUsage: false}\n"
        f'entryPoints: {{api: {{address: "127.0.0.1:{port}"}}}}\n'
        f"providers: {{file: {{filename: {dynamic}, watch: false}}}}\n"
    )
    return [program("traefik"), f"--configfile={config}"]


def envoy(folder: Path, site: str) -> list[str]:
    config = folder / "envoy.yaml"
    config.write_text(site)
    return [program("envoy"), "-c", str(config), "--disable-hot-restart", "-l", "error"]


PROXIES: dict[str, tuple[str, str, Callable[[Path, str], list[str]]]] = {
    "nginx": ("nginx.conf", "listen 8443", nginx),
    "caddy": ("Caddyfile", "http://:8443", caddy),
    "traefik": ("traefik.yaml", "", traefik),
    "envoy": ("envoy.yaml", "port_value: 8443", envoy),
}


def example(name: str, port: int, asked: int, backend: int) -> str:
    """Return the example for this proxy with the ports of this test."""
    file, listens, _ = PROXIES[name]
    text = (EXAMPLES / file).read_text()
    changes = {"9002": str(asked), "8081": str(backend)}
    if listens:
        changes[listens] = listens.replace(
            "8443", f"127.0.0.1:{port}" if name == "nginx" else str(port)
        )
    else:
        text += f"\n# entry port {port}\n"
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def started(command: list[str], folder: Path, port: int) -> Iterator[None]:
    log = folder / "proxy.log"
    home = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | home)
    try:
        eventually(lambda: process.poll() is not None or is_open(port), seconds=30)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def is_of_this_machine(address: str) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.close()


@pytest.fixture(scope="module", params=[*PROXIES])
def site(
    request: pytest.FixtureRequest, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    name: str = request.param
    program(name)
    folder = tmp_path_factory.mktemp(name)
    port, asked = free_port(), free_port()
    with running(folder, "http://127.0.0.1:9", CONFIG % asked) as gateway:
        admin(gateway, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
        wish = {"tenant_id": "acme", "name": "k", "environment": "live", "scopes": ["jobs:read"]}
        made = admin(gateway, "POST", "/keys", wish, 201)
        command = PROXIES[name][2](folder, example(name, port, asked, backend.port))
        with started(command, folder, port):
            site = Site(name, gateway, port, made["key"]["key_id"], made["secret"])
            eventually(lambda: site.ask("/open", secret="").status == 200)
            yield site


def test_a_request_that_may_pass_reaches_the_backend_with_the_identity_and_without_the_key(
    site: Site,
) -> None:
    answer = site.ask("/v1/jobs/7?q=%20a")
    assert answer.status == 200
    assert (answer.told["method"], answer.told["target"]) == ("GET", "/v1/jobs/7?q=%20a")
    assert answer.identity["Key-Id"] == site.key_id
    assert answer.identity["Tenant"] == "acme"
    assert answer.identity["Scopes"] == "jobs:read"
    assert "authorization" not in answer.told["headers"]
    (line,) = site.lines("/v1/jobs/7?q=%20a")
    assert answer.told["headers"]["x-request-id"] == line["request_id"]


def test_what_a_client_claims_to_be_never_reaches_the_backend(site: Site) -> None:
    forged = {f"X-Gateway-{name}": "forged" for name in IDENTITY}
    known = site.ask("/v1/jobs", fields=forged)
    assert known.identity["Key-Id"] == site.key_id
    assert "forged" not in known.identity.values()
    unknown = site.ask("/open", secret="", fields=forged)
    assert (unknown.status, unknown.identity) == (200, {})


@pytest.mark.parametrize(
    "name", ["X_Gateway_Tenant", "X-Gateway_Tenant", "X_Gateway-Tenant", "X.Gateway.Tenant"]
)
def test_what_a_cgi_like_backend_takes_for_an_identity_field_does_not_reach_it(
    site: Site, name: str
) -> None:
    if site.proxy == "traefik" or (site.proxy == "envoy" and "." in name):
        pytest.skip(f"{site.proxy} passes it: the how-to says so")
    answer = site.ask("/open", secret="", fields={name: "forged"})
    assert answer.status in (200, 400)
    assert answer.status == 400 or "forged" not in answer.told["headers"].values()


@pytest.mark.parametrize(
    "name",
    [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Script-Name",
        "SCRIPT_NAME",
        "Proxy",
    ],
)
def test_what_asks_for_something_else_than_was_judged_does_not_reach_the_backend(
    site: Site, name: str
) -> None:
    answer = site.ask("/v1/jobs?else=1", fields={name: "/else"})
    assert answer.status in (200, 400)
    assert answer.status == 400 or "/else" not in answer.told["headers"].values()


def test_without_a_key_nobody_passes_and_is_told_how(site: Site) -> None:
    answer = site.ask("/v1/jobs", secret="")
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert site.ask("/v1/jobs", secret="sk_live_" + "A" * 49).status == 401


def test_what_a_key_may_not_do_is_refused(site: Site) -> None:
    assert site.ask("/v1/jobs", method="POST", body=b"{}").status == 403


@pytest.mark.parametrize(
    "target",
    ["/nowhere", "/v1/jobs/..%2f..%2fopen", "/v1/jobs/%2e%2e/x", "/v1/jobs//x", "/v1;a/jobs"],
)
def test_what_no_route_lists_and_what_could_be_read_in_two_ways_does_not_pass(
    site: Site, target: str
) -> None:
    answer = site.ask(target)
    if (
        answer.status == 200
    ):  # a proxy that cleans paths asks about the clean one, and forwards that
        assert answer.told["target"] != target
        assert site.lines(answer.told["target"])
    else:
        assert answer.status in (400, 404)


def test_a_method_that_the_route_does_not_list_does_not_pass(site: Site) -> None:
    assert site.ask("/v1/jobs/7", method="DELETE").status == 405


def test_a_limit_is_kept_and_the_client_is_told_when_to_come_again(site: Site) -> None:
    statuses = [site.ask("/v1/narrow").status for _ in range(3)]
    assert statuses[-1] == 429
    assert int(site.ask("/v1/narrow").headers["retry-after"]) > 0


def test_a_client_cannot_change_what_is_asked_about(site: Site) -> None:
    fields = {
        "X-Original-URI": "/open",
        "X-Original-Method": "GET",
        "X-Original-Host": "evil.test",
        "X-Forwarded-Uri": "/open",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Host": "evil.test",
        "X-Envoy-Original-Path": "/open",
    }
    assert site.ask("/v1/jobs?forged=1", secret="", fields=fields).status == 401
    assert site.ask("/v1/jobs", method="POST", fields=fields, body=b"{}").status == 403


@pytest.mark.parametrize(
    ("target", "host"),
    [("http://back.test/site", "front.test"), ("http://back.test:80/site", "front.test:80")],
)
def test_the_host_that_is_judged_is_the_one_that_the_backend_is_told(
    site: Site, target: str, host: str
) -> None:
    """An absolute target replaces Host (RFC 9112 section 3.2.2): who asks by the one must not forward the other."""
    answer = site.ask("/site", secret="", fields={"Host": "front.test"})
    assert (answer.status, answer.told["headers"]["host"]) == (200, "front.test")
    answer = site.ask(target, secret="", fields={"Host": host})
    if answer.status == 200:
        assert answer.told["headers"]["host"].startswith("front.test")
    else:
        assert answer.status in (400, 401)


def test_the_client_s_address_is_what_the_proxy_saw_and_not_what_the_client_says(
    site: Site,
) -> None:
    fields = {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4"}
    assert site.ask("/v1/jobs?who=1", fields=fields).status == 200
    (line,) = site.lines("/v1/jobs?who=1")
    assert is_of_this_machine(line["client_address"])  # Envoy names loopback by another address
    assert (line["source"], line["status"], line["route"]) == ("forward_auth", 200, "jobs")
    assert line["key_id"] == site.key_id


def test_a_body_passes_the_proxy_and_not_the_gateway(site: Site) -> None:
    made = admin(
        site.gateway,
        "POST",
        "/keys",
        {"tenant_id": "acme", "name": "w", "environment": "live", "scopes": ["jobs:write"]},
        201,
    )
    body = b"x" * 300_000
    answer = site.ask("/v1/jobs", method="POST", secret=made["secret"], body=body)
    assert answer.status == 200
    assert (answer.told["method"], len(answer.told["body"])) == ("POST", len(body))


def test_a_head_request_passes(site: Site) -> None:
    assert site.ask("/v1/jobs", method="HEAD").status == 200
    assert site.ask("/v1/jobs", method="HEAD", secret="").status == 401


def test_a_revoked_key_does_not_pass_any_more(site: Site) -> None:
    wish = {"tenant_id": "acme", "name": "r", "environment": "live", "scopes": ["jobs:read"]}
    made = admin(site.gateway, "POST", "/keys", wish, 201)
    assert site.ask("/v1/jobs", secret=made["secret"]).status == 200
    admin(site.gateway, "POST", f"/keys/{made['key']['key_id']}:revoke", {"reason": "leaked"})
    assert site.ask("/v1/jobs", secret=made["secret"]).status == 401


@pytest.mark.parametrize(
    ("name", "status"), [("nginx", 500), ("caddy", 502), ("traefik", 500), ("envoy", 503)]
)
def test_nobody_passes_while_the_gateway_does_not_answer(
    name: str, status: int, backend: Backend, tmp_path: Path
) -> None:
    program(name)
    port, nobody = free_port(), free_port()
    command = PROXIES[name][2](tmp_path, example(name, port, nobody, backend.port))

    def asked() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/open")
            return connection.getresponse().status
        finally:
            connection.close()

    with started(command, tmp_path, port):
        eventually(lambda: asked() != 404, seconds=30)  # Traefik has read its routes
        assert asked() == status
