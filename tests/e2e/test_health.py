"""A real gateway in front of backends that fall ill and recover, and of names with several addresses."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

from tests.e2e.process import Running, running
from tests.e2e.waiting import eventually

CONFIG = """
version: 1
listeners:
  public: {bind: "127.0.0.1:0"}
  admin: {bind: "unix:data/admin.sock"}
  metrics: {bind: "127.0.0.1:0"}
peppers: {current: p1, p1: "${file:data/pepper}"}
telemetry: {access_log: {path: "off"}}
upstreams:
  jobs:
    targets: TARGETS
    health: {active: {path: /health, interval: 1s, timeout: 1s, host: health.test}}
routes:
  - {name: jobs, match: {prefix: /}, auth: none, upstream: jobs}
"""


class Instance:
    """One instance of a service: how it feels, and whom it served."""

    def __init__(self) -> None:
        self.is_well = True
        self.served = 0
        self.probes: list[dict[str, str]] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        instance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/health":
                    instance.probes.append({k.lower(): v for k, v in self.headers.items()})
                    self.send_response(200 if instance.is_well else 503)
                else:
                    instance.served += 1
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

            def address_string(self) -> str:
                return ""

        return Handler


class UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(server: ThreadingHTTPServer | UnixServer) -> Iterator[None]:
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(gateway: Running) -> int:
    connection = http.client.HTTPConnection(gateway.public, timeout=30)
    connection.request(
        "GET", "/", headers={"Authorization": "Bearer a.client's.own", "Cookie": "a=b"}
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def metric(gateway: Running, name: str) -> float:
    connection = http.client.HTTPConnection(gateway.metrics, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
    )


def test_backend_that_falls_ill_gets_no_requests_until_it_is_well(tmp_path: Path) -> None:
    sick, well = Instance(), Instance()
    path = tmp_path / "well.sock"
    tcp = ThreadingHTTPServer(("127.0.0.1", 0), sick.handler())
    unix = UnixServer(str(path), well.handler())
    with ExitStack() as stack:
        stack.enter_context(serving(tcp))
        stack.enter_context(serving(unix))
        targets = f"['http://127.0.0.1:{tcp.server_address[1]}', 'http+unix:{path}']"
        text = CONFIG.replace("TARGETS", targets)
        gateway = stack.enter_context(running(tmp_path, "", text))
        both = partial(gets, gateway, sick, well)
        eventually(lambda: both() == (True, True))
        sick.is_well = False
        eventually(lambda: both() == (False, True))
        assert "answered 503" in gateway.log.read_text()
        served = sick.served
        for _ in range(20):
            assert get(gateway) == 200
        assert sick.served == served
        sick.is_well = True
        eventually(lambda: both() == (True, True))
        assert metric(gateway, 'tollhouse_upstream_probes_total{outcome="status"') >= 3
        for probe in sick.probes + well.probes:
            assert not {"authorization", "cookie"} & probe.keys()
            assert probe["host"] == "health.test"
        assert gateway.stop() == 0
        probes = len(sick.probes)
    assert len(sick.probes) == probes


def gets(gateway: Running, *instances: Instance) -> tuple[bool, ...]:
    """Send a few requests; tell which instances got some of them."""
    before = [instance.served for instance in instances]
    for _ in range(4):
        assert get(gateway) == 200
    return tuple(
        instance.served > served for instance, served in zip(instances, before, strict=True)
    )


def test_name_is_looked_up_and_its_address_becomes_the_target(tmp_path: Path) -> None:
    instance = Instance()
    tcp = ThreadingHTTPServer(("127.0.0.1", 0), instance.handler())
    with serving(tcp):
        text = CONFIG.replace("TARGETS", f"['http://localhost:{tcp.server_address[1]}']")
        with running(tmp_path, "", text) as gateway:
            label = f"127.0.0.1:{tcp.server_address[1]}"
            is_told: Callable[[], bool] = lambda: (  # noqa: E731 - reads as a sentence below
                f"its targets are now {label}" in gateway.log.read_text()
            )
            eventually(is_told)
            eventually(lambda: bool(instance.probes))
            assert get(gateway) == 200
            assert metric(gateway, 'tollhouse_upstream_lookups_total{outcome="ok"') >= 1
