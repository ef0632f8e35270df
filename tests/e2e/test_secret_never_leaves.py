"""The secret never leaves (D8): every feature is used and everything is broken, and no secret is found anywhere.

Only the answers that hand a secret out may hold it. `FEATURES` and `FAULTS` are what is done: whoever builds a feature
adds a line.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
import requests

from tests.e2e import canary
from tests.e2e.canary import Canaries
from tests.e2e.crew import AdminConnection, is_alive, pids, workers
from tests.e2e.process import Running, running, write_config
from tests.e2e.waiting import eventually

KEY: Final = {"tenant_id": "acme", "environment": "live", "scopes": ["*"]}


class Visit:
    """A gateway, the canaries that were issued by it, and what it told; `issued` are the ids of keys by name."""

    def __init__(self, gateway: Running, canaries: Canaries) -> None:
        self.gateway = gateway
        self.canaries = canaries
        self.issued: dict[str, str] = {}

    # ---- the admin API

    def call(self, method: str, path: str, body: object = None, **fields: str) -> tuple[int, bytes]:
        """Ask the admin listener; the answer is kept by whoever called."""
        with closing(AdminConnection(self.gateway)) as connection:
            sent = {"Content-Type": "application/json"} | fields
            connection.request(method, path, json.dumps(body or {}), sent)
            answer = connection.getresponse()
            head = f"{answer.status} {answer.headers}".encode()
            content = answer.read()
        self._last = head + content
        return answer.status, content

    def admin(self, method: str, path: str, body: object = None, **fields: str) -> Any:
        """Ask the admin API for something that holds no secret; return the JSON, if it is any."""
        _, content = self.call(method, f"/admin/v1{path}", body, **fields)
        self.canaries.tell(f"answer to {method} {path}", self._last)
        with contextlib.suppress(ValueError):
            return json.loads(content)
        return None

    def hand_out(self, path: str, body: object) -> dict[str, Any]:
        """Ask for a secret, which becomes a canary; the answer is the one place where it may stand."""
        status, content = self.call("POST", f"/admin/v1{path}", body)
        assert status in (200, 201), content
        answer: dict[str, Any] = json.loads(content)
        if answer.get("secret"):
            self.canaries.add(answer["secret"])
        return answer

    def key(self, name: str, **wish: Any) -> str:
        """Mint a key; return its secret."""
        made = self.hand_out("/keys", KEY | {"name": name} | wish)
        self.issued[name] = made["key"]["key_id"]
        return str(made["secret"])

    # ---- the public side

    def ask(self, secret: str = "", path: str = "/api/v1/jobs", **options: Any) -> int:
        """Send a request; what the gateway itself answers is kept."""
        fields = options.pop("headers", {}) | (
            {"Authorization": f"Bearer {secret}"} if secret else {}
        )
        method = options.pop("method", "GET")
        answer = requests.request(
            method, self.gateway.url + path, headers=fields, timeout=10, **options
        )
        if answer.headers.get("Content-Type") == "application/problem+json":
            self.canaries.tell(f"answer to {path[:20]}", f"{answer.headers}{answer.text}")
        return answer.status_code

    def cli(self, *arguments: str, stdin: str = "", status: int = 0) -> None:
        """Run a command that shows no secret."""
        said = self.gateway.cli(*arguments, stdin=stdin, status=status)
        self.canaries.tell(f"tollhouse {' '.join(arguments[:2])}", said)


# ---- what a gateway can do


def is_used_rightly(visit: Visit) -> None:
    secret = visit.key("used")
    for method in ("GET", "POST"):
        assert visit.ask(secret, method=method, json={} if method == "POST" else None) < 300
    visit.ask(secret, "/v1/account/profile")
    visit.ask(secret, "/v1/events?count=2")


def is_sent_where_it_does_not_belong(visit: Visit) -> None:
    secret = visit.key("misplaced")
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    for path in (
        f"/api/v1/jobs?api_key={secret}",
        f"/api/v1/jobs?{secret}",
        f"/api/v1/jobs/{secret}",
        f"/nowhere/{secret}/x",
        f"/api/v1/jobs?next={quote(f'https://x/?token={secret}', safe='')}",
    ):
        visit.ask("", path)
        visit.ask(secret, path)
    for name, value in (
        ("Referer", f"https://x.test/?k={secret}"),
        ("User-Agent", secret),
        ("User-Agent", f"tool/1.0 ({secret})"),
        ("Cookie", f"session={secret}"),
        ("X-Api-Key", secret),
        ("X-Request-Id", secret),
        ("Authorization", secret),
        ("Authorization", f"Basic {encoded}"),
        ("Authorization", f"Bearer {secret}x"),
        ("Authorization", f"Bearer  {secret} {secret}"),
        ("Authorization", f'Bearer "{secret}"'),
    ):
        visit.ask("", headers={name: value})
    visit.ask(secret, headers={"X-Forwarded-For": secret, "Forwarded": f"for={secret}"})
    visit.ask("", method=secret[:20] + secret[20:].upper())
    with contextlib.suppress(requests.RequestException):
        requests.get(f"http://{secret}@{visit.gateway.public}/api/v1/jobs", timeout=10)


def is_changed_and_stopped(visit: Visit) -> None:
    secret = visit.key("changed")
    path = f"/keys/{visit.issued['changed']}"
    visit.admin("PATCH", path, {"scopes": ["jobs:read"], "metadata": {"team": "a"}})
    visit.admin("PATCH", path, {"ip_allowlist": ["192.0.2.0/24"]})
    visit.ask(secret)
    visit.admin("PATCH", path, {"ip_allowlist": []})
    visit.admin("POST", f"{path}:suspend", {"reason": "a test"})
    visit.ask(secret)
    visit.admin("POST", f"{path}:resume")
    visit.admin("POST", f"{path}:extend", {"expires_in": "30d", "reason": "a test"})
    visit.admin("POST", f"{path}:revoke", {"reason": "a test"})
    visit.ask(secret)
    visit.admin("DELETE", path, {"reason": "a test"})


def is_rotated(visit: Visit) -> None:
    old = visit.key("rotated")
    rotated = visit.hand_out(
        f"/keys/{visit.issued['rotated']}:rotate", {"grace": "1d", "reason": "a test"}
    )
    for secret in (old, rotated["secret"], old):
        visit.ask(secret)
    rotation = f"/rotations/{rotated['rotation']['rotation_id']}"
    visit.admin("GET", rotation)
    visit.admin("GET", f"{rotation}/clients")
    visit.admin("POST", f"{rotation}:complete", {"reason": "a test"})
    visit.ask(old)


def is_compromised(visit: Visit) -> None:
    secret = visit.key("leaked")
    visit.ask(secret)
    found = visit.hand_out(
        f"/keys/{visit.issued['leaked']}:compromise",
        {"since": "2020-01-01T00:00:00Z", "reason": "a test"},
    )
    visit.ask(secret)
    incident = f"/incidents/{found['incident']['incident_id']}"
    visit.admin("GET", incident)
    visit.admin("GET", f"{incident}/requests")
    visit.admin("GET", f"{incident}/requests?format=csv")


def is_handed_over_by_a_link(visit: Visit) -> None:
    made = visit.hand_out("/keys", KEY | {"name": "handed over", "deliver_in": "1h"})
    token = made["delivery_url"].rsplit("/", 1)[1]
    visit.canaries.add(f"link_{token}")
    for method, fields in (("GET", {}), ("POST", {"Accept": "application/json"}), ("POST", {})):
        _, content = visit.call(method, f"/delivery/{token}", **fields)
        with contextlib.suppress(ValueError):
            visit.canaries.add(json.loads(content)["secret"])
            continue
        visit.canaries.tell(f"{method} of a link", visit._last)
    visit.admin("GET", "/deliveries")


def is_looked_up(visit: Visit) -> None:
    secret = visit.key("looked up")
    visit.admin("POST", "/keys:lookup", {"secret": secret})
    visit.admin("POST", "/keys:lookup", {"secret": secret[:-1] + "!"})
    visit.admin("POST", "/keys", {"name": secret, "surprise": secret})
    visit.admin("GET", f"/keys/{secret}")
    visit.admin("GET", f"/keys?cursor={secret}&{secret}=1")
    visit.cli("keys", "whois", stdin=f"{secret}\n")
    visit.cli("keys", "show", visit.issued["looked up"], "--output", "yaml")


def is_an_admin_token(visit: Visit) -> None:
    made = visit.hand_out("/admin-tokens", {"name": "canary", "role": "operator"})
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    visit.admin("GET", "/whoami", **bearer)
    visit.admin("GET", f"/keys?token={made['secret']}", **bearer)
    visit.admin("GET", "/keys", Authorization=f"Bearer {made['secret']}x")
    visit.admin("GET", "/keys", **{"User-Agent": made["secret"], "Referer": made["secret"]})
    visit.ask(made["secret"])  # at the wrong door
    visit.ask("", f"/api/v1/jobs?token={made['secret']}")


def is_explained(visit: Visit) -> None:
    secret = visit.key("explained")
    asked = {
        "method": "GET",
        "url": f"/api/v1/jobs?token={secret}",
        "key_id": visit.issued["explained"],
    }
    visit.admin("POST", "/explain", asked | {"headers": {"Referer": f"https://x/?k={secret}"}})
    visit.admin("POST", "/explain", asked | {"key_id": secret})
    visit.admin("POST", "/ip-test", {"key_id": visit.issued["explained"], "address": "192.0.2.1"})
    visit.admin("GET", "/reports/would-block")


def is_in_lists_and_exports(visit: Visit) -> None:
    for path in (
        "/keys", "/tenants", "/rotations", "/incidents", "/deliveries", "/templates", "/admin-tokens",
        "/streams", "/upstreams", "/workers", "/requests", "/audit", "/audit/export", "/openapi.json",
        *(f"/keys/{each}/requests" for each in visit.issued.values()),
    ):  # fmt: skip
        visit.admin("GET", path)
    visit.admin("POST", "/audit:verify")
    visit.cli("keys", "list", "--output", "json")
    visit.cli("requests", "query", "--output", "json")
    visit.cli("audit", "query", "--output", "json")
    visit.cli(
        "audit",
        "export",
        "--file",
        str(visit.gateway.folder / f"audit-{visit.gateway.process.pid}.jsonl"),
        "--reason",
        "a test",
    )


FEATURES: Final[tuple[Callable[[Visit], None], ...]] = (
    is_used_rightly,
    is_sent_where_it_does_not_belong,
    is_changed_and_stopped,
    is_rotated,
    is_compromised,
    is_handed_over_by_a_link,
    is_looked_up,
    is_an_admin_token,
    is_explained,
    is_in_lists_and_exports,
)


# ---- what can go wrong


def store_is_locked(visit: Visit) -> None:
    secret, fresh = visit.key("locked"), visit.key("never asked for")
    visit.ask(secret)
    (path,) = (visit.gateway.folder / "data").glob("*.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("BEGIN EXCLUSIVE")
        visit.ask(secret)
        visit.ask(fresh)
        visit.admin("POST", f"/keys/{visit.issued['locked']}:revoke", {"reason": "a test"})
        store.execute("ROLLBACK")


def upstream_is_broken(visit: Visit) -> None:
    assert visit.ask(visit.key("to nowhere"), "/broken/x?token=") in (502, 503)


def store_holds_nonsense(visit: Visit) -> None:
    """What no door lets in is an error of ours: 500, with a stack in the log."""
    secret = visit.key("nonsense")
    (path,) = (visit.gateway.folder / "data").glob("*.db")
    with closing(sqlite3.connect(path)) as store, store:
        store.execute(
            "UPDATE keys SET lineage_id = 'lin\nX: y' WHERE key_id = ?", (visit.issued["nonsense"],)
        )
    assert visit.ask(secret) in (500, 503)


def reload_is_refused(visit: Visit) -> None:
    """The mistake is one that people make: the secret stands where its hash belongs."""
    secret = visit.key("in the configuration")
    path = visit.gateway.folder / "config.yaml"
    good = path.read_text()
    bad = f"bootstrap: {{keys: [{{id: k, tenant: acme, name: n, environment: live, hash: {secret}}}], {secret}: 1}}\n"
    for text in (good + bad, good + f"{secret}: [1\n", good + f"\nlisteners: {secret}\n"):
        path.write_text(text)
        visit.admin("POST", "/config:reload")
        visit.admin("POST", "/config:check")
        path.write_text(good)
    assert visit.admin("POST", "/config:reload")["result"] == "applied"


def worker_is_killed(visit: Visit) -> None:
    secret = visit.key("of the dead")
    visit.ask(secret)
    if not (found := pids(visit.gateway)) or visit.gateway.process.pid in found:
        return  # one process serves alone
    os.kill(found[0], signal.SIGUSR2)
    eventually(lambda: "most recent call first" in visit.gateway.log.read_text())
    os.kill(found[0], signal.SIGKILL)
    eventually(lambda: len(pids(visit.gateway)) == 2 and found[0] not in pids(visit.gateway))
    visit.ask(secret)


FAULTS: Final[tuple[Callable[[Visit], None], ...]] = (
    store_is_locked,
    upstream_is_broken,
    store_holds_nonsense,
    reload_is_refused,
    worker_is_killed,
)


# ---- the test


def configuration(folder: Path, upstream: str, **replaced: str) -> str:
    text = write_config(folder, upstream).read_text()
    broken = "\nroutes:\n  - {name: broken, match: {path: '/broken/{x}'}, scopes: [jobs:read], upstream: dead}\n"
    dead = "\nupstreams:\n  dead: {targets: ['http://127.0.0.1:9']}\n"
    for old, new in {"\nroutes:\n": broken, "\nupstreams:\n": dead, **replaced}.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def do_everything(gateway: Running, canaries: Canaries) -> None:
    visit = Visit(gateway, canaries)
    visit.admin("POST", "/tenants", {"tenant_id": "acme", "name": "Acme"})
    for fault in FAULTS:
        fault(visit)
    for feature in FEATURES:
        feature(visit)
    assert canaries.leaks(canary.exposed(gateway)) == []


def test_no_secret_is_found_anywhere_whatever_is_done_and_whatever_breaks(
    demo_upstream: str, tmp_path: Path
) -> None:
    canaries = Canaries()
    two = configuration(tmp_path, demo_upstream, **{"#workers: 1": "workers: 2"})
    with running(tmp_path, demo_upstream, two, log_level="debug") as gateway:
        do_everything(gateway, canaries)
        time.sleep(1.5)  # what is written once a second
        left = [worker["pid"] for worker in workers(gateway)]
        gateway.process.kill()  # whatever lies about stays as it is
        gateway.process.wait(15)
        eventually(lambda: not any(is_alive(pid) for pid in left))
    assert canaries.leaks(canary.everything(tmp_path, canaries)) == []
    # Once more with a disk that takes no line of the access log, and nobody beside.
    full = configuration(tmp_path, demo_upstream, **{'#path: "-"': "path: /dev/full"})
    with running(tmp_path, demo_upstream, full, log_level="debug") as gateway:
        do_everything(gateway, canaries)
        assert gateway.stop() == 0
    assert len(canaries.secrets) > 30
    assert canaries.leaks(canary.everything(tmp_path, canaries)) == []
    names = {name for name, _ in canary.everything(tmp_path, canaries)}
    assert {"gateway.log", "access.log", "table keys", "table audit"} <= names
    assert any(name.startswith("data/requests/") for name in names)
    assert any(name.startswith("audit-") for name in names)


# ---- the check itself: a leak is found


SECRET: Final = "sk_live_" + "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2dE3fG4h" + "000000"


@pytest.mark.parametrize("form", canary.forms("x"))
def test_a_planted_leak_is_found_in_every_form(form: str, tmp_path: Path) -> None:
    canaries = Canaries()
    canaries.add("sk_live_" + "Z" * 49, SECRET)
    leaked = canary.forms(f"junk {SECRET} junk")[form]
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "0001.seg").write_bytes(b"{" + leaked + b"}")
    found = canaries.leaks(canary.files(tmp_path))
    assert [(leak.canary, leak.place) for leak in found] == [(1, "requests/0001.seg")]


def test_the_random_part_alone_is_found() -> None:
    canaries = Canaries()
    canaries.add(SECRET)
    random_part = SECRET.removeprefix("sk_live_")[:43]
    for text in (random_part, random_part[4:-4], f"?k={SECRET}&x", json.dumps(SECRET)):
        assert canaries.leaks([("a log", text.encode())]), text
    assert canaries.leaks([("a page", b"sk_live_aB3d...4h0000")]) == []


def test_a_planted_leak_is_found_in_tables_answers_and_processes(tmp_path: Path) -> None:
    canaries = Canaries()
    canaries.add(SECRET)
    with closing(sqlite3.connect(tmp_path / "tollhouse.db")) as store, store:
        store.execute("CREATE TABLE audit (what TEXT, raw BLOB)")
        store.execute("INSERT INTO audit VALUES (?, ?)", ("x", SECRET[::-1].encode()))
    canaries.tell("an answer", quote(SECRET))
    places = {leak.place for leak in canaries.leaks(canary.everything(tmp_path, canaries))}
    assert places == {"tollhouse.db", "table audit", "table audit, bytes", "an answer"}
    waiting = [sys.executable, "-c", "input()", SECRET]
    with subprocess.Popen(
        waiting, stdin=subprocess.PIPE, env=os.environ | {"LEAK": SECRET.swapcase()}
    ) as child:
        eventually(lambda: b"input()" in Path(f"/proc/{child.pid}/cmdline").read_bytes())
        found = canaries.leaks(canary.processes(os.getpid()))
        child.communicate(b"\n")
    assert {(leak.form, leak.place.split()[0]) for leak in found} == {
        ("plain", "cmdline"),
        ("other case", "environ"),
    }
