"""How the upstream and each subject are started, side by side on the cores of this machine."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench.everything import everything_on, like_the_peers
from bench.machine import Absent, Cores, Process, Unusable, free_port, running
from bench.peers import nginx
from bench.peers.catalogue import PEERS, PLAIN_NGINX
from bench.peers.site import ENDLESS, Launch, Peer, Site
from bench.policy import FORMAT, PEPPER, WIDE, Key, Policy, Route
from bench.verify import verify

ROOT: Final = Path(__file__).parents[1]
GATEWAY_COMMAND: Final = f"{shlex.quote(sys.executable)} -m gateway run --config {{config}}"
"""The default command of the gateway; `{config}` becomes the path of the generated file."""

COMPILED: Final = ROOT / ".venv-compiled" / "bin" / "tollhouse"
"""The compiled gateway, once `make compile` has made it."""

START_SECONDS: Final = 180.0
"""A configuration of 10,000 routes takes its time to be read and checked, and a busy machine takes longer."""

SAME_POLICY: Final = "Tollhouse, same policy"
EVERYTHING_ON: Final = "Tollhouse, everything on"
EVERYTHING_COMPILED: Final = "Tollhouse, everything on, compiled"
OURS: Final = (SAME_POLICY, EVERYTHING_ON, EVERYTHING_COMPILED)

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""What makes one configuration of the gateway from another."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something under measurement that runs: its name, port, processes, and what `verify` saw."""

    name: str
    port: int
    process: Process
    policy_seen: str
    lacks: str = ""


@dataclass(slots=True)
class Field:
    """Who takes part: those that run, and those that are left out with the reason."""

    subjects: list[Subject] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def named(self, name: str) -> Subject | None:
        """Return a subject by its name, or None when it does not take part."""
        return next((subject for subject in self.subjects if subject.name == name), None)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a run happens: a scratch folder, the cores, the policy, and the upstream's port."""

    folder: Path
    cores: Cores
    policy: Policy
    upstream_port: int

    @contextmanager
    def upstream(self) -> Iterator[Process]:
        """Run nginx on the load core; it answers everything with 1 KiB of JSON, one path with 100 KiB."""
        site = self._site("upstream", self.upstream_port)
        with self._running(nginx.upstream(site), site, self.cores.load) as process:
            yield process

    @contextmanager
    def peer(self, peer: Peer) -> Iterator[Subject]:
        """Run a peer and see that it does what it claims."""
        site = self._site(peer.name)
        with self._running(peer.prepare(site), site, self.cores.gateway) as process:
            seen = verify(peer.name, site.port, self.policy, peer.refusals)
            yield Subject(peer.name, site.port, process, seen, peer.lacks)

    @contextmanager
    def tollhouse(
        self,
        command: str,
        *,
        name: str = "Tollhouse",
        change: Change = dict,
        check: bool = True,
        prepare: Callable[[Path], None] | None = None,
    ) -> Iterator[Subject]:
        """Run the gateway with a configuration made from the policy, changed by `change`.

        `prepare` gets the folder of configuration and store before the start.
        """
        site = self._site(name)
        if prepare:
            prepare(site.folder)
            site = replace(site, port=free_port())  # that may have taken minutes
        config = change(gateway_config(self.policy, site.port, self.upstream_port))
        path = site.write("config.yaml", json.dumps(config))  # JSON is YAML
        words = [word.replace("{config}", str(path)) for word in shlex.split(command)]
        with self._running(Launch(words, cwd=ROOT), site, self.cores.gateway) as process:
            seen = verify(name, site.port, self.policy) if check else ""
            yield Subject(name, site.port, process, seen)

    @contextmanager
    def _running(self, launch: Launch, site: Site, core: int) -> Iterator[Process]:
        cwd, log = launch.cwd or site.folder, site.folder / "out.log"
        with running(launch.command, core, log, cwd, launch.environment) as process:
            process.wait_for_port(site.port, START_SECONDS)
            yield process

    def _site(self, name: str, port: int = 0) -> Site:
        folder = self.folder / "".join(c if c.isalnum() else "-" for c in name)
        folder.mkdir()
        return Site(folder, port or free_port(), self.upstream_port, self.policy)


@contextmanager
def all_subjects(
    bench: Bench, command: str, *, names: Sequence[str] = (), has_gateway: bool = True
) -> Iterator[Field]:
    """Run plain nginx and the others side by side; those that are not loaded cost next to nothing.

    A peer that is not installed, does not start or does not carry out the policy is left out and named. `names` are
    parts of names; without any everybody takes part.
    """
    with ExitStack() as stack:
        field_ = Field([stack.enter_context(bench.peer(PLAIN_NGINX))])
        for peer in PEERS:
            if _is_wanted(peer.name, names):
                try:
                    field_.subjects.append(stack.enter_context(bench.peer(peer)))
                except Absent as problem:
                    field_.absent[peer.name] = str(problem)
                except Unusable as problem:
                    field_.failed[peer.name] = str(problem)
        gateways = [(SAME_POLICY, command, like_the_peers), (EVERYTHING_ON, command, everything_on)]
        if COMPILED.exists():
            compiled = f"{shlex.quote(str(COMPILED))} run --config {{config}}"
            gateways.append((EVERYTHING_COMPILED, compiled, everything_on))
        for name, how, change in gateways if has_gateway else ():
            if _is_wanted(name, names):
                ours = bench.tollhouse(how, name=name, change=change)
                field_.subjects.append(stack.enter_context(ours))
        yield field_


def _is_wanted(name: str, names: Sequence[str]) -> bool:
    return not names or any(part.lower() in name.lower() for part in names)


def gateway_config(policy: Policy, port: int, upstream_port: int) -> dict[str, Any]:
    """Return a configuration of the gateway that carries out the policy; else the defaults, but no logs of requests."""
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
        "request_log": {"path": "off"},
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
