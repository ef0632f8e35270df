"""Demo traffic in which each alert fires once: `python -m gateway.demo.alerts`.

Knows what has to happen for each rule. A gateway is started in a folder that is removed afterwards, with thresholds of
seconds instead of days; what is done to it is done over its public and admin interfaces, or to its disk.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from gateway.demo.playground import NotTold, Playground, opened
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.business_hours import DAYS

CONFIG: Final = """\
version: 1
peppers: {current: p1, p1: "${file:pepper}"}
listeners:
  public: {bind: "127.0.0.1:{public}"}
  admin: {bind: "unix:admin.sock"}
  metrics:
    bind: "127.0.0.1:{metrics}"
    tls: {certificates: [{certificate: tls.pem, key: tls.key}]}
store: {path: tollhouse.db, snapshot: kept/keys.snapshot, poll: 200ms}
limits: {url: "redis://127.0.0.1:{redis}", local_share: 1.0}
request_log: {path: requests}
telemetry: {access_log: {path: access.log}}
authentication: {throttle: {failures: 1000}}
scopes: {atoms: ["jobs:read", "jobs:write"]}
plans: {small: {rate: {per_hour: 20, burst: 20}}}
policies:
  reminders: [1h]
  rotation: [{match: {tags: [old]}, every: 1s}]
upstreams:
  jobs:
    targets: ["http://127.0.0.1:{backend}"]
    health: {active: {path: /v1/status, interval: 500ms, timeout: 400ms}}
routes:
  - {name: jobs.list, match: {methods: [GET], path: /jobs}, scopes: ["jobs:read"], handler: introspect}
  - {name: jobs.admin, match: {methods: [GET], path: /admin}, scopes: ["jobs:write"], upstream: jobs}
  - {name: jobs.live, match: {methods: [GET], path: /live}, environments: [live], handler: introspect}
channels:
  demo:
    webhook: {url: "http://127.0.0.1:{receiver}/", secret: "${file:webhook}"}
    every: 500ms
  log: {log: true}
alerts:
  every: 500ms
  channels: [demo, log]
  rules:
    ApiKeyUnusualVolume: {requests_min: 60, history_min: 0s}
    ApiKeyAuthFailuresHigh: {per_key: 5}
    ApiKeyHighErrorRate: {requests_min: 20}
    ApiKeyUnexpectedAddress: {learning: 2s}
    GatewaySnapshotStale: {fire_after: 3s}
"""

Play = Callable[[Playground], Awaitable[None]]


class Scene(NamedTuple):
    """What is done, and the rule that tells of it."""

    rule: RuleName
    done: str
    play: Play


# ---- keys


async def _approach_limit(ground: Playground) -> None:
    _, secret = await ground.add_key("busy", plan="small")
    await ground.ask(secret, 17)


async def _take_much(ground: Playground) -> None:
    _, secret = await ground.add_key("importer")
    await ground.ask(secret, 61)


async def _fail(ground: Playground) -> None:
    _, secret = await ground.add_key("ended", expires_in="1s")
    await asyncio.sleep(1.1)
    await ground.ask(secret, 5)


async def _expire_soon(ground: Playground) -> None:
    await ground.add_key("contractor", expires_in="3602s")


async def _grow_old(ground: Playground) -> None:
    await ground.add_key("forgotten", tags=["old"])


async def _move(ground: Playground) -> None:
    _, secret = await ground.add_key("moving")
    await ground.ask(secret)
    await asyncio.sleep(3.5)
    await ground.ask(secret, source="127.9.9.9")


async def _lack_scope(ground: Playground) -> None:
    _, secret = await ground.add_key("curious")
    await ground.ask(secret, 20, path="/admin")


async def _work_late(ground: Playground) -> None:
    day = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    hours = {"days": [day], "opens": "08:00", "closes": "09:00"}
    tenant = {"tenant_id": "closed", "name": "Closed today", "alerts": {"business_hours": hours}}
    await ground.admin("POST", "/tenants", tenant)
    _, secret = await ground.add_key("night owl", tenant_id="closed")
    await ground.ask(secret)


async def _hold_on(ground: Playground) -> None:
    key_id, secret = await ground.add_key("leaked")
    await ground.admin("POST", f"/keys/{key_id}:revoke", {"reason": "it was in a repository"})
    await ground.ask(secret)


async def _browse(ground: Playground) -> None:
    _, secret = await ground.add_key("web page")
    await ground.ask(secret, headers={"Origin": "https://shop.example"})


async def _mix_up(ground: Playground) -> None:
    _, secret = await ground.add_key("staging", environment="test")
    await ground.ask(secret, path="/live")


# ---- the gateway


async def _nothing(_: Playground) -> None:
    """It is so from the beginning, or because of what was done for the rule before."""


async def _stop_backend(ground: Playground) -> None:
    await ground.backend.cleanup()


async def _write_nonsense(ground: Playground) -> None:
    path = ground.folder / "config.yaml"
    before = path.read_text()
    path.write_text(before.replace("plans:", "plnas:"))
    await ground.admin("POST", "/config:reload", {"reason": "demo"})
    await ground.told(RuleName.RELOAD_FAILED)
    path.write_text(before)


async def _spoil_snapshot(ground: Playground) -> None:
    """Put a file where the folder of the snapshot is: a change can be noted in none, and none can be removed."""
    key_id, _ = await ground.add_key("withdrawn")
    kept = ground.folder / "kept"
    kept.rename(ground.folder / "kept.before")
    kept.touch()
    await ground.told(RuleName.SNAPSHOT_STALE)
    answer = await ground.admin("POST", f"/keys/{key_id}:revoke", {"reason": "demo"})
    if not answer["enforcement"]["silent"]:
        raise NotTold("the revocation did not say that the snapshot misses it")


async def _fill_disk(ground: Playground) -> None:
    """Let every write of the gateway fail, as on a full disk."""
    _, secret = await ground.add_key("unlucky")
    pid = ground.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        await ground.ask(secret)
        await ground.told(RuleName.STORE_UNAVAILABLE)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


async def _tamper(ground: Playground) -> None:
    await asyncio.sleep(2.5)  # the end of the chain has to be signed first
    with closing(sqlite3.connect(ground.folder / "tollhouse.db")) as file, file:
        file.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")


SCENES: Final = (
    Scene(RuleName.LIMITER_UNAVAILABLE, "nobody listens where the Redis should be", _nothing),
    Scene(
        RuleName.CERTIFICATE_EXPIRING, "a certificate with three days to live is in use", _nothing
    ),
    Scene(RuleName.APPROACHING_LIMIT, "a key makes 17 of 20 requests of its rate", _approach_limit),
    Scene(RuleName.UNUSUAL_VOLUME, "a key that nobody used makes 61 requests at once", _take_much),
    Scene(RuleName.AUTH_FAILURES, "a key that has expired is tried five times", _fail),
    Scene(RuleName.EXPIRING, "a key ends within an hour", _expire_soon),
    Scene(RuleName.ROTATION_OVERDUE, "a key is older than its policy wants", _grow_old),
    Scene(RuleName.UNEXPECTED_ADDRESS, "a key is used from another network", _move),
    Scene(RuleName.HIGH_ERROR_RATE, "a key asks 20 times for what it may not do", _lack_scope),
    Scene(RuleName.AFTER_HOURS, "a key of a company that is closed today is used", _work_late),
    Scene(RuleName.REVOKED_USED, "a key is revoked, and used again", _hold_on),
    Scene(RuleName.CLIENT_SIDE, "a key is used by a web page", _browse),
    Scene(RuleName.UNEXPECTED_ENVIRONMENT, "a test key asks for what is live", _mix_up),
    Scene(RuleName.UPSTREAM_DOWN, "the backend is stopped", _stop_backend),
    Scene(
        RuleName.RELOAD_FAILED, "the configuration is saved with a mistake in it", _write_nonsense
    ),
    Scene(
        RuleName.SNAPSHOT_STALE, "the folder of the snapshot is replaced by a file", _spoil_snapshot
    ),
    Scene(RuleName.REVOCATION_PENDING, "(a key was revoked meanwhile)", _nothing),
    Scene(RuleName.STORE_UNAVAILABLE, "the disk takes no more", _fill_disk),
    Scene(RuleName.LOG_LOSS, "(a request was made meanwhile)", _nothing),
    Scene(RuleName.AUDIT_LOSS, "(the same request)", _nothing),
    Scene(RuleName.AUDIT_TAMPERED, "somebody deletes a record from the audit trail", _tamper),
)
"""In this order: what comes last leaves the gateway worse than it was."""


async def play(folder: Path, tell: Callable[[str], None]) -> list[str]:
    """Play all scenes; return what was told more or less often than once."""
    async with opened(folder, CONFIG) as ground:
        await ground.admin("POST", "/tenants", {"tenant_id": "demo", "name": "Demo"})
        for scene in SCENES:
            await scene.play(ground)
            alert = await ground.told(scene.rule)
            summary = str(alert["summary"]).replace(f"{folder}/", "")
            tell(f"{scene.rule:<28} {scene.done}\n{'':<28} -> {summary}")
        counts = Counter(each["rule"] for each in ground.receiver.told if each["event"] == "fired")
    return [
        f"{rule} was told {counts[rule]} times"
        for rule in {*(scene.rule.value for scene in SCENES), *counts}
        if counts[rule] != 1
    ]


def main() -> int:
    """Play, and say what was told."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.alerts", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the run as a page, too")
    options = parser.parse_args()
    lines: list[str] = []

    def tell(text: str) -> None:
        lines.append(text)
        print(text, flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-alerts-") as folder:
            wrong = asyncio.run(play(Path(folder), tell))
    except NotTold as error:
        print(f"alerts demo: {error}", file=sys.stderr)
        return 1
    for each in wrong:
        print(f"alerts demo: {each}", file=sys.stderr)
    if options.write is not None and not wrong:
        options.write.write_text(_page(lines), "utf-8")
    return 1 if wrong else 0


def _page(lines: list[str]) -> str:
    return (
        "# Each alert, once\n\n"
        "Written by `make alerts-demo`: demo traffic against a gateway that tells a local receiver by signed webhooks."
        "\nEach rule is followed by what was done, and by the sentence that arrived; each was told exactly once.\n\n"
        "```text\n" + "\n".join(lines) + "\n```\n"
    )


if __name__ == "__main__":
    sys.exit(main())
