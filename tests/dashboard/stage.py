"""A real gateway whose dashboard is looked at: its own process, a demo backend, tenants, keys and traffic."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from tests.e2e.process import Running, running, write_config

TOKEN = "tha_" + "stage" * 9
"""The token of the configuration: the stage is set with it."""

_HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}

ROTATION = "policies:\n  rotation:\n    - {match: {tags: [nightly]}, every: 1s}\n    - {match: {}, every: 180d}\n"


LOG: Final = "\nchannels: {log: {log: true}}\n"


def often(channels: str) -> dict[str, str]:
    """Return what to replace so that alerts are judged each second, and told to these channels."""
    judged = f"every: 1s\n  channels: [{channels}]\n  runbooks_url: https://docs.example.com"
    return {"\n  #every: 1m\n": f"\n  {judged}\n"}


@dataclass
class Stage:
    """The gateway, and where operators reach it."""

    gateway: Running
    admin: str

    @property
    def missing(self) -> set[int]:
        """Return 404 where a part of the API that pages ask for is not served yet, else nothing."""
        answer = requests.get(f"{self.admin}/admin/v1/alerts", headers=_HEADERS, timeout=30)
        return {404} & {answer.status_code}

    def api(self, method: str, path: str, body: Any = None, *, expect: int = 0) -> Any:
        """Call the admin API with all rights."""
        answer = requests.request(
            method,
            f"{self.admin}/admin/v1{path}",
            json=body,
            headers=_HEADERS,
            timeout=30,
        )
        assert answer.status_code == expect if expect else answer.ok, answer.text
        return answer.json()

    def token(self, role: str = "admin", **values: Any) -> str:
        """Return a new admin token."""
        body = {"name": f"{role.title()} on stage", "role": role, **values}
        return str(self.api("POST", "/admin-tokens", body)["secret"])

    def key(self, name: str, tenant_id: str = "acme", **values: Any) -> tuple[str, str]:
        """Return the id of a new key, and its secret."""
        body = {"name": name, "tenant_id": tenant_id, **values}
        if not values.keys() & {"template", "scopes"}:
            body |= {"scopes": ["*"], "environment": "live"}
        made = self.api("POST", "/keys", body)
        return str(made["key"]["key_id"]), str(made["secret"])

    def use(self, secret: str, path: str = "/api/v1/jobs", **options: Any) -> int:
        """Make a request as a client; return the status."""
        headers = {"Authorization": f"Bearer {secret}", **options.pop("headers", {})}
        method = options.pop("method", "GET")
        url = self.gateway.url + path
        return requests.request(method, url, headers=headers, timeout=30, **options).status_code


@contextmanager
def staged(folder: Path, upstream: str, *, further: str = "", **replaced: str) -> Iterator[Stage]:
    """Run a gateway with its admin API on TCP and two tenants.

    `further` is added to its configuration, and what is `replaced` stands there otherwise.
    """
    port = _free_port()
    path = write_config(
        folder,
        upstream,
        **{
            "bind: unix:data/admin.sock": f"bind: 127.0.0.1:{port}",
            '    #token: ""': f'    token: "{TOKEN}"',
            "\npolicies:\n": f"\n{ROTATION}",
        },
        **replaced,
    )
    with running(folder, upstream, path.read_text() + further) as gateway:
        stage = Stage(gateway, f"http://127.0.0.1:{port}")
        stage.api(
            "POST",
            "/tenants",
            {"tenant_id": "acme", "name": "Acme Robotics", "plan": "professional"},
        )
        stage.api(
            "POST", "/tenants", {"tenant_id": "globex", "name": "Globex Energy", "plan": "free"}
        )
        yield stage


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
