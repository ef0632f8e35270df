"""How the upstream and each subject are started: their configuration files and command lines."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.machine import Cores, Process, free_port, program, running
from bench.policy import FORMAT, PEPPER, WIDE, Key, Policy, Route
from bench.verify import BODY_BYTES, verify, verify_passes

ROOT: Final = Path(__file__).parents[1]
GATEWAY_COMMAND: Final = f"{shlex.quote(sys.executable)} -m gateway run --config {{config}}"
"""The default command of the gateway; `{config}` becomes the path of the generated file."""

ENDLESS: Final = 1_000_000_000
"""Requests on one connection: nobody may reconnect in the middle of a slice."""

NGINX: Final = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests {endless};
  keepalive_timeout 1h;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/json;
  {body}
}}
"""

NGINX_UPSTREAM: Final = """
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ return 200 '{json}'; }}
  }}
"""

NGINX_PLAIN: Final = """
  upstream backend {{
    server 127.0.0.1:{upstream};
    keepalive 128;
    keepalive_requests {endless};
    keepalive_timeout 1h;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something under measurement that runs: its name, port, processes, and what `verify` saw."""

    name: str
    port: int
    process: Process
    policy_seen: str


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a run happens: a scratch folder, the cores, the policy, and the upstream's port."""

    folder: Path
    cores: Cores
    policy: Policy
    upstream_port: int

    @contextmanager
    def upstream(self) -> Iterator[Process]:
        """Run nginx on the load core; it answers everything with 1 KiB of JSON."""
        text = '{"data":"' + "x" * (BODY_BYTES - 11) + '"}'
        body = NGINX_UPSTREAM.format(port=self.upstream_port, json=text)
        command, folder = self._nginx("upstream", body)
        with running(command, self.cores.load, folder / "out.log", folder) as process:
            process.wait_for_port(self.upstream_port)
            yield process

    @contextmanager
    def plain_nginx(self) -> Iterator[Subject]:
        """Run nginx as a proxy without any policy: what one core can do at best."""
        port = free_port()
        body = NGINX_PLAIN.format(port=port, upstream=self.upstream_port, endless=ENDLESS)
        command, folder = self._nginx("plain", body)
        with self._gateway("plain nginx", command, folder, port, verify_passes) as subject:
            yield subject

    @contextmanager
    def aiohttp_proxy(self) -> Iterator[Subject]:
        """Run the aiohttp proxy of `bench.peers` on this interpreter."""
        port, folder = free_port(), self._folder("aiohttp")
        upstream = f"http://127.0.0.1:{self.upstream_port}"
        command = [sys.executable, "-m", "bench.peers.aiohttp_proxy"]
        command += ["--port", str(port), "--upstream", upstream]
        with self._gateway("aiohttp proxy", command, ROOT, port, verify, folder) as subject:
            yield subject

    @contextmanager
    def tollhouse(self, command: str) -> Iterator[Subject]:
        """Run the gateway with a configuration made from the policy."""
        port, folder = free_port(), self._folder("tollhouse")
        config = folder / "config.yaml"  # JSON is YAML
        config.write_text(json.dumps(gateway_config(self.policy, port, self.upstream_port)))
        words = [word.replace("{config}", str(config)) for word in shlex.split(command)]
        with self._gateway("Tollhouse", words, ROOT, port, verify, folder) as subject:
            yield subject

    @contextmanager
    def _gateway(
        self,
        name: str,
        command: list[str],
        cwd: Path,
        port: int,
        check: Callable[[str, int, Policy], str],
        folder: Path | None = None,
    ) -> Iterator[Subject]:
        log = (folder or cwd) / "out.log"
        with running(command, self.cores.gateway, log, cwd) as process:
            process.wait_for_port(port)
            yield Subject(name, port, process, check(name, port, self.policy))

    def _nginx(self, name: str, body: str) -> tuple[list[str], Path]:
        folder = self._folder(name)
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, body=body, endless=ENDLESS))
        binary = program("nginx", "nginx-light")
        return [binary, "-p", str(folder), "-c", str(config)], folder

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


@contextmanager
def all_subjects(bench: Bench, command: str, *, only_peers: bool) -> Iterator[list[Subject]]:
    """Run plain nginx and the others side by side; those that are not loaded cost nothing."""
    with ExitStack() as stack:
        subjects = [stack.enter_context(bench.plain_nginx())]
        if not only_peers:
            subjects.append(stack.enter_context(bench.tollhouse(command)))
        subjects.append(stack.enter_context(bench.aiohttp_proxy()))
        yield subjects


def gateway_config(policy: Policy, port: int, upstream_port: int) -> dict[str, Any]:
    """Return the gateway's configuration: the policy, metrics, and like the others no log."""
    return {
        "version": 1,
        "listeners": {
            "public": {"bind": f"127.0.0.1:{port}", "requests_per_connection_max": ENDLESS},
            "admin": {"bind": "unix:admin.sock"},
            "metrics": {"bind": f"127.0.0.1:{free_port()}"},
        },
        "store": {"path": "tollhouse.db"},
        "peppers": {"current": "bench", "bench": PEPPER},
        "key_formats": {FORMAT.name: {"prefix": FORMAT.prefix, "environments": ["live"]}},
        "environments": {"live": {}},
        "scopes": {"atoms": list(policy.scopes)},
        "plans": {_plan(limit): {"rate": {"per_minute": limit}} for limit in _limits(policy)},
        "upstreams": {
            "backend": {
                "targets": [f"http://127.0.0.1:{upstream_port}"],
                "idle_connections_max": 128,
            }
        },
        "routes": [_route(route) for route in policy.routes],
        "telemetry": {"access_log": {"path": "off"}},
        "bootstrap": {
            "tenants": [{"id": "bench", "name": "Bench"}],
            "keys": [_key(key) for key in policy.keys],
        },
    }


def _limits(policy: Policy) -> set[int]:
    return {key.limit for key in policy.keys}


def _plan(limit: int) -> str:
    return "wide" if limit == WIDE else "narrow"


def _route(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "match": {"methods": [route.method], "path": route.path},
        "scopes": [route.scope],
        "upstream": "backend",
    }


def _key(key: Key) -> dict[str, Any]:
    return {
        "id": key.name,
        "tenant": "bench",
        "name": key.name,
        "format": FORMAT.name,
        "environment": "live",
        "hash": key.digest,
        "pepper": "bench",
        "scopes": list(key.scopes),
        "plan": _plan(key.limit),
    }
