"""The gateways of a cluster: each a process with a folder of its own, on the database and the Redis of all.

Knows how one is configured, started, killed and asked by operators. It must not know what is measured.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.cluster.servers import Servers
from bench.machine import Unusable, free_port
from gateway.audit.files import AuditFiles

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-m", "gateway")
NAMES: Final = ("a", "b", "c")
JOBS: Final = "/api/v1/jobs"
ME: Final = "/v1/me"
"""Answered by the gateway itself: a request that waits for nobody is not cut by the revocation of its key."""

TENANT: Final = "acme"

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 40.0

CONFIG: Final = """\
version: 1
listeners:
  public: {public}
  admin: {admin}
  metrics: {{bind: "127.0.0.1:{metrics}"}}
peppers: {{current: p1, p1: "${{file:../pepper}}"}}
authentication: {{throttle: {{failures: 1000000000}}}} # whoever tries things may fail as often as he likes
scopes: {{atoms: ["jobs:read"]}}
plans:
  unlimited: {{}}
  small: {{rate: {{per_minute: 12, burst: 4}}}}
{plans}
upstreams:
  demo: {{targets: ["http://127.0.0.1:{upstream}"]}}
routes:
  - {{name: jobs.list, match: {{methods: [GET], path: {jobs}}}, scopes: ["jobs:read"], upstream: demo}}
  - {{name: echo, match: {{methods: [POST], path: /v1/echo}}, scopes: ["jobs:read"], upstream: demo}}
  - {{name: events, match: {{methods: [GET], path: /v1/events}}, scopes: ["jobs:read"], upstream: demo}}
  - {{name: me, match: {{methods: [GET], path: {me}}}, handler: introspect}}
  - {{name: status, match: {{methods: [GET], path: /v1/status}}, auth: none, upstream: demo}}
audit: {{key: audit.key}}
request_log: {{path: requests}}
telemetry: {{access_log: {{path: access.log}}}}
"""

_SHARED: Final = """\
store: {{url: "{store_url}"}}
cluster: {{node: {name}, lease: {lease}, acknowledge_timeout: {patience}}}
limits: {{url: "{limits_url}", mode: {mode}, prefix: "{prefix}", timeout: 1s}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs from one cluster to the next; `public` and `plans` are YAML, `dashboard` the node that has one.

    `patience` is how long a change waits for gateways that do not acknowledge it.
    """

    mode: str = "exact"
    lease: str = "10s"
    patience: str = "3s"
    prefix: str = "tollhouse"
    plans: str = ""
    public: str = ""
    dashboard: str = ""
    dashboard_port: int = 0
    ports: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    command: Sequence[str] = COMMAND


@dataclass(slots=True)
class Node:
    """One gateway: where it lives and listens, and its process while it runs. `token` is what its admin API wants."""

    name: str
    folder: Path
    port: int
    metrics: int
    command: Sequence[str]
    cwd: Path = ROOT
    admin_port: int = 0
    token: str = field(default="", repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def admin_socket(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start the process, out of reach of the terminal's Ctrl-C: whoever started it ends it."""
        with (self.folder / "out.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "run", "--config", str(self.config), "--log-format", "json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cwd,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return once it serves. Raises `Unusable` with its last words when it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            if self.is_ready():
                return
            time.sleep(0.05)
        text = (self.folder / "out.log").read_text("utf-8", "replace")
        raise Unusable(f"gateway {self.name} does not serve:\n{text[-2000:]}")

    def is_ready(self) -> bool:
        """Tell whether `/readyz` says that requests should be sent there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """Let the process end in good order; return its status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def admin(self) -> aiohttp.ClientSession:
        """Return a session with its admin API."""
        if self.admin_port:
            fields = {"Authorization": f"Bearer {self.token}"}
            return aiohttp.ClientSession(f"http://127.0.0.1:{self.admin_port}", headers=fields)
        connector = aiohttp.UnixConnector(str(self.admin_socket))
        return aiohttp.ClientSession("http://tollhouse", connector=connector)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Gateways that run, their servers, and the port of the demo upstream."""

    folder: Path
    nodes: Sequence[Node]
    servers: Servers
    upstream: int

    def named(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)


@contextmanager
def opened(folder: Path, servers: Servers, settings: Settings | None = None) -> Iterator[Cluster]:
    """Run a demo upstream and the gateways; all ends with the block. Raises `Unusable`."""
    settings = settings or Settings()
    folder.mkdir(exist_ok=True)
    (folder / "pepper").write_text(secrets.token_hex(32))
    AuditFiles(folder / "audit.key").signer()
    with ExitStack() as stack:
        upstream = stack.enter_context(demo_upstream(folder))
        nodes = [_made(folder, name, servers, settings, upstream) for name in NAMES]
        stack.callback(_stop_all, nodes)
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()
        yield Cluster(folder, nodes, servers, upstream)


def _stop_all(nodes: Sequence[Node]) -> None:
    """Let all of them end at the same time."""
    for node in nodes:
        if node.process is not None and node.process.poll() is None:
            node.process.send_signal(signal.SIGTERM)
    for node in nodes:
        node.stop()


def _made(folder: Path, name: str, servers: Servers, settings: Settings, upstream: int) -> Node:
    """Write what a gateway needs into a folder of its own."""
    home = folder / name
    home.mkdir()
    # Each signs with the same key, and keeps its own word on where the trail ends beside it.
    key = home / "audit.key"
    key.write_bytes((folder / "audit.key").read_bytes())
    key.chmod(0o600)
    port, metrics = settings.ports.get(name) or (free_port(), free_port())
    node = Node(name, home, port, metrics, settings.command)
    admin: dict[str, str] = {"bind": "unix:admin.sock"}
    if name == settings.dashboard:
        node.admin_port = settings.dashboard_port or free_port()
        node.token = secrets.token_hex(24)
        token = home / "admin-token"
        token.write_text(node.token)
        token.chmod(0o600)
        admin = {"bind": f"127.0.0.1:{node.admin_port}", "token": "${file:admin-token}"}
    shared = _SHARED.format(
        store_url=servers.store_url,
        name=name,
        lease=settings.lease,
        patience=settings.patience,
        limits_url=servers.limits_url,
        mode=settings.mode,
        prefix=settings.prefix,
    )
    node.config.write_text(
        config_text(
            shared,
            public=settings.public.format(port=port),
            port=port,
            admin=admin,
            metrics=metrics,
            upstream=upstream,
            plans=settings.plans,
        )
    )
    return node


def config_text(
    more: str,
    *,
    port: int,
    metrics: int,
    upstream: int,
    public: str = "",
    admin: Mapping[str, str] | None = None,
    plans: str = "",
) -> str:
    """Return a configuration with `more` in it, such as where the store is; `public` is YAML."""
    text = CONFIG.format(
        public=public or json.dumps({"bind": f"127.0.0.1:{port}"}),
        admin=json.dumps(admin or {"bind": "unix:admin.sock"}),
        metrics=metrics,
        upstream=upstream,
        jobs=JOBS,
        me=ME,
        plans=plans,
    )
    return text + more


@contextmanager
def demo_upstream(folder: Path) -> Iterator[int]:
    """Run the demo backend; give its port."""
    port = free_port()
    with (folder / "upstream.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.demo", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        _answers(f"http://127.0.0.1:{port}/v1/status", process)
        yield port
    finally:
        process.kill()  # it keeps nothing, and would wait for streams
        process.wait(_STOP_SECONDS)


def _answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Unusable(f"{url} does not answer")


# ---- what operators do


async def make_tenant(session: aiohttp.ClientSession) -> None:
    """Create the tenant of all keys, if it is not there yet."""
    wish = {"tenant_id": TENANT, "name": "Acme"}
    async with session.post("/admin/v1/tenants", json=wish) as answer:
        if answer.status not in (201, 409):
            raise Unusable(f"no tenant was created: {await answer.text()}")


async def make_key(
    session: aiohttp.ClientSession, name: str, plan: str = "unlimited"
) -> tuple[str, str]:
    """Create a key; return its id and its secret."""
    wish = {"tenant_id": TENANT, "name": name, "environment": "live", "plan": plan}
    made = await asked(session, "POST", "/keys", wish | {"scopes": ["jobs:read"]})
    return made["key"]["key_id"], made["secret"]


async def asked(
    session: aiohttp.ClientSession, method: str, path: str, body: object = None
) -> dict[str, Any]:
    """Ask the admin API. Raises `Unusable` when it refuses."""
    async with session.request(method, f"/admin/v1{path}", json=body) as answer:
        found: dict[str, Any] = await answer.json(content_type=None)
        if answer.status >= 400:
            raise Unusable(f"{method} {path}: {found}")
        return found | {"status": answer.status}
