"""Asks a real Prometheus every query of the dashboards, beside a real gateway under traffic.

`python -m tests.deploy.live --seconds 60` prints what each panel shows. The gateway has whatever a panel may be about:
TLS, health checks, a breaker, names to look up, limits, streams, revocations, failures.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench.machine import free_port
from deploy.grafana.__main__ import boards
from tests.certificates import authority, issue
from tests.deploy.files import PROMETHEUS, RULES, for_promtool
from tests.e2e.process import ROOT, Running, running
from tests.e2e.waiting import eventually

CONFIG = """
version: 1
listeners:
  public: {bind: "127.0.0.1:0", tls: {certificates: [{certificate: server.pem, key: server.key}]}}
  admin: {bind: "unix:data/admin.sock"}
  metrics: {bind: "127.0.0.1:0"}
peppers: {current: p1, p1: "${file:data/pepper}"}
scopes: {atoms: [demo:read, demo:write]}
authentication: {throttle: {failures: 100000}}
plans:
  usual: {rate: {per_second: 1000}}
  tiny: {rate: {per_minute: 6, burst: 3}}
upstreams:
  demo:
    targets: ["http://127.0.0.1:UPSTREAM", "http://localhost:UPSTREAM"]
    resolve: {every: 1s}
    health: {active: {path: /v1/status, interval: 1s, timeout: 1s}}
    breaker: {error_ratio: 0.9}
  broken:
    targets: ["http://127.0.0.1:1"]
    breaker: {error_ratio: 0.5, min_requests: 5, open: 1s}
routes:
  - name: jobs
    match: {methods: [GET, POST], prefix: /api/v1/jobs}
    scopes: [demo:read]
    upstream: demo
    ip_allowlist: {mode: shadow, allow: [203.0.113.7]}
  - {name: write, match: {methods: [POST], path: /v1/interviews}, scopes: [demo:write], upstream: demo}
  - {name: events, match: {path: /v1/events}, scopes: [demo:read], upstream: demo}
  - {name: broken, match: {path: /broken}, auth: none, upstream: broken}
"""

PATIENCE_SECONDS = 60.0

NEVER_WHOLE = {"Routes"}
"""Of its columns, that of upstreams that answer 500: the demo never does."""


@dataclass(frozen=True)
class Shown:
    """What one query of a panel came to: numbers, as Grafana would be told them; `empty` is the panel's excuse."""

    board: str
    panel: str
    expression: str
    numbers: list[float]
    empty: str

    @property
    def has_data(self) -> bool:
        return any(not math.isnan(number) for number in self.numbers)


@dataclass
class Traffic:
    """Clients of every kind, from a thread, until it is told to stop."""

    gateway: Running
    trust: Path
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = f"https://localhost:{self.gateway.public.rpartition(':')[2]}"
        self._stop = threading.Event()
        gateway = self.gateway
        gateway.cli("tenants", "create", "--id", "t", "--name", "T", "--plan", "usual")
        common = ("--tenant", "t", "--environment", "live", "--scope", "demo:read")
        _, self._key = gateway.create_key(*common, "--name", "usual")
        _, self._slow = gateway.create_key(*common, "--name", "slow", "--plan", "tiny")
        gateway.create_key(*common, "--name", "ending", "--expires", "20h")
        self._common = common
        self._threads = [
            threading.Thread(target=self._guarded, args=(turn,))
            for turn in (self._requests, self._streams)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _guarded(self, turn: Any) -> None:
        try:
            while not self._stop.wait(0.02):
                turn()
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failures.append(error)

    def _ask(self, method: str, path: str, key: str = "", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return requests.request(
            method, self.url + path, headers=headers, verify=str(self.trust), timeout=10, **more
        )

    def _requests(self) -> None:
        """Be refused and let through in every way that a dashboard tells apart."""
        assert self._ask("GET", "/api/v1/jobs", self._key).status_code == 200
        assert self._ask("POST", "/api/v1/jobs", self._key, json={"a": 1}).status_code == 201
        assert self._ask("POST", "/v1/interviews", self._key, json={}).status_code == 403
        assert self._ask("GET", "/api/v1/jobs").status_code == 401
        assert self._ask("GET", "/api/v1/jobs", "sk_live_" + "a" * 49).status_code == 401
        assert self._ask("GET", "/api/v1/jobs", self._slow).status_code in {200, 429}
        assert self._ask("GET", "/nowhere").status_code == 404
        assert self._ask("GET", "/broken").status_code in {502, 503}

    def _streams(self) -> None:
        """Open a stream and revoke its key: the stream is cut, and the key is still tried."""
        key_id, key = self.gateway.create_key(*self._common, "--name", "leaked")
        with self._ask("GET", "/v1/events", key, stream=True) as answer:
            assert next(answer.iter_content(16))
            self.gateway.cli("keys", "revoke", key_id, "--reason", "a test")
            with suppress(requests.RequestException):
                assert len(answer.content) < 1000
        assert self._ask("GET", "/api/v1/jobs", key).status_code == 401


def silent(panels: list[Shown]) -> set[str]:
    """Return the panels of which a query shows nothing, without those that the demo gives nothing to show."""
    return {each.panel for each in panels if not each.has_data} - NEVER_WHOLE


@contextmanager
def demo(port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "gateway.demo", "--port", str(port)]
    with stopped(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)):
        eventually(lambda: answers(f"http://127.0.0.1:{port}/v1/status"))
        yield


@contextmanager
def prometheus(folder: Path, target: str, every: str) -> Iterator[str]:
    """Run Prometheus with the shipped job and rules against `target`; yields its URL."""
    settings = (PROMETHEUS / "scrape.yaml").read_text("utf-8")
    for old, new in (
        ("127.0.0.1:9100", target),
        ("15s", every),
        ("scrape_timeout: 5s", f"scrape_timeout: {every}"),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    settings += f"\nglobal: {{evaluation_interval: {every}}}\n"
    (folder / "prometheus.yml").write_text(settings)
    shutil.copy(RULES, folder)
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        with stopped(process):
            eventually(lambda: answers(f"http://{address}/-/ready"))
            yield f"http://{address}"


@contextmanager
def stopped(process: subprocess.Popen[Any]) -> Iterator[None]:
    """End `process`, and nothing else, in the end."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.ConnectionError:
        return False


def asked(url: str, path: str, **parameters: str) -> Any:
    answer = requests.get(f"{url}/api/v1/{path}", params=parameters, timeout=20).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def shown(url: str, variables: dict[str, str]) -> Iterator[Shown]:
    """Yield what each query of each dashboard comes to."""
    for name, board in boards().items():
        for panel in board.panels():
            for query in panel.queries:
                expression = for_promtool(query.expr, variables)
                found = asked(url, "query", query=expression)["result"]
                numbers = [float(series["value"][1]) for series in found]
                yield Shown(name, panel.title, expression, numbers, panel.empty)


@dataclass(frozen=True)
class Watched:
    """What Prometheus knew in the end: what the panels show, and its rules."""

    panels: list[Shown]
    rules: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    failures: list[BaseException]


def watch(folder: Path, seconds: float, every: str = "500ms") -> Watched:
    """Drive traffic through a gateway for `seconds`, watched by Prometheus."""
    ca, port = authority(), free_port()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    issue(folder, ca, "localhost")
    text = CONFIG.replace("UPSTREAM", str(port))
    (folder / "prometheus").mkdir()
    with ExitStack() as stack:
        stack.enter_context(demo(port))
        gateway = stack.enter_context(running(folder, "", text))
        url = stack.enter_context(prometheus(folder / "prometheus", gateway.metrics, every))
        traffic = stack.enter_context(Traffic(gateway, folder / "ca.pem"))
        time.sleep(seconds / 2)
        (folder / "config.yaml").write_text(text + "# changed\n")
        gateway.cli("reload")
        time.sleep(seconds / 2)
        window = f"{max(5, int(seconds / 2))}s"
        variables = {"__rate_interval": window, "__range": f"{int(seconds)}s"}
        panels = list(shown(url, variables))
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while silent(panels) and time.monotonic() < patient_until:
            panels = list(shown(url, variables))  # on a busy machine some things happen later
        return Watched(
            panels,
            [rule for group in asked(url, "rules")["groups"] for rule in group["rules"]],
            asked(url, "targets")["activeTargets"],
            traffic.failures,
        )


def main() -> int:
    """Print what each panel shows; return 1 when one shows nothing and has no excuse."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.live", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollhouse-live-") as folder:
        watched = watch(Path(folder), options.seconds)
    for each in watched.panels:
        told = f"{len(each.numbers)} series" if each.has_data else f"nothing. {each.empty}"
        print(f"{each.board:16} {each.panel:34} {told}")
    for rule in watched.rules:
        state = f"{rule.get('state', 'recorded')}"
        print(f"{rule['name']:64} {rule['health']:4} {state} {rule.get('lastError', '')}")
    silent = [each for each in watched.panels if not each.has_data]
    print(
        f"{len(watched.panels)} queries, {len(silent)} without data; failures: {watched.failures}"
    )
    return int(any(not each.empty for each in silent) or bool(watched.failures))


if __name__ == "__main__":
    sys.exit(main())
