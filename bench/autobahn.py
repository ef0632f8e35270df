"""The Autobahn test suite, directly and through the gateway: `python -m bench.autobahn`.

Its fuzzing client talks to one echo server on both ways; what it says of each of its 517 cases has
to be the same. The suite runs on Python 2.7 only, which has to be there; the rest is installed into
`build/autobahn` on the first run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.machine import Cores, Unusable, free_port, running
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.subjects import ROOT, gateway_config

REQUIREMENTS: Final = Path(__file__).with_name("autobahn-requirements.txt")
ACCELERATOR: Final = "wsaccel==0.6.3"
"""Makes the suite several times as fast; it has to be compiled, and may be missing."""

PACKAGES: Final = ROOT / "build" / "autobahn"

SLOW: Final = ("9.*", "12.*", "13.*")
"""Limits and compression: most of the time that the suite takes."""

GROUPS: Final = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "close handshake",
    "9": "limits and performance",
    "10": "auto-fragmentation",
    "12": "compression, different payloads",
    "13": "compression, different parameters",
}
SECONDS_MAX: Final = 3600

POLICY: Final = Policy(
    routes=(Route("echo", "GET", "/echo", "socket:open"),),
    keys=(Key("autobahn", mint("autobahn"), ("socket:open",), WIDE),),
)

FUZZER: Final = """
import site, sys
site.addsitedir(sys.argv[1])
from autobahntestsuite import wstest
from autobahn.twisted.websocket import WebSocketClientFactory

plain = WebSocketClientFactory.setSessionParameters
key = {"Authorization": "Bearer " + sys.argv[3]}

def with_key(self, url=None, origin=None, protocols=None, useragent=None, headers=None, proxy=None):
    plain(self, url, origin, protocols, useragent, key, proxy)

WebSocketClientFactory.setSessionParameters = with_key
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", sys.argv[2]]
wstest.run()
"""
"""The suite's client (Python 2.7), made to send the key: its own options cannot."""

Verdicts = dict[str, tuple[str, str, Any]]
"""Case -> behaviour, behaviour at the close, the close code that the server sent."""


def main() -> int:
    """Run; return 0 when every verdict is the same on both ways, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.autobahn", description=__doc__)
    parser.add_argument("--cases", nargs="+", default=["*"], help="such as 1.* 7.3.1 (all)")
    parser.add_argument("--quick", action="store_true", help=f"leave out {', '.join(SLOW)}")
    parser.add_argument("--python2", default="", help="a Python 2.7 (default: look for one)")
    options = parser.parse_args()
    try:
        suite = _installed(_python2(options.python2))
        with tempfile.TemporaryDirectory(prefix="tollhouse-autobahn-") as folder:
            direct, through = _verdicts(Path(folder), suite, options)
    except Unusable as problem:
        print(f"autobahn: {problem}", file=sys.stderr)
        return 1
    return _report(direct, through)


def _python2(given: str) -> str:
    """Return a Python 2.7 that works."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [given] if given else ["python2.7", *map(str, pyenv.glob("2.7*/bin/python"))]
    for candidate in candidates:
        path = shutil.which(candidate)
        check = [str(path), "-c", "import sys, zlib, pip; sys.exit(sys.version_info[:2] != (2, 7))"]
        if path and not subprocess.run(check, capture_output=True, check=False).returncode:
            return path
    raise Unusable(
        "the suite runs on Python 2.7 with pip only; name one with --python2, or: pyenv install 2.7"
    )


def _installed(python2: str) -> list[str]:
    """Return the command of the suite's client, installed when it is not."""
    if not (PACKAGES / ".complete").exists():
        shutil.rmtree(PACKAGES, ignore_errors=True)
        print(f"installing the suite into {PACKAGES}", file=sys.stderr)
        command = [python2, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--target", str(PACKAGES)]
        for wanted in (["--requirement", str(REQUIREMENTS)], [ACCELERATOR]):
            done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
            if done.returncode and wanted != [ACCELERATOR]:
                raise Unusable(f"pip failed: {done.stderr[-2000:]}")
        (PACKAGES / ".complete").touch()
    return [python2, "-W", "ignore", "-c", FUZZER, str(PACKAGES)]


def _verdicts(
    folder: Path, suite: list[str], options: argparse.Namespace
) -> tuple[Verdicts, Verdicts]:
    """Run both ways side by side; return the verdicts of each."""
    cores = Cores.of_this_machine()
    with _echo(folder, cores) as echo_port, _gateway(folder, cores, echo_port) as port:
        fuzzers = {
            name: _fuzz(folder / name, suite, f"ws://127.0.0.1:{each}/echo", options)
            for name, each in (("direct", echo_port), ("through", port))
        }
        try:
            for fuzzer in fuzzers.values():
                fuzzer.wait(SECONDS_MAX)
        finally:
            for fuzzer in fuzzers.values():
                fuzzer.kill()
                fuzzer.wait()
    return _read(folder / "direct"), _read(folder / "through")


@contextmanager
def _echo(folder: Path, cores: Cores) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.websocket_echo", "--port", str(port)]
    with running(command, cores.load, folder / "echo.log", ROOT) as process:
        process.wait_for_port(port)
        yield port


@contextmanager
def _gateway(folder: Path, cores: Cores, echo_port: int) -> Iterator[int]:
    port, path = free_port(), folder / "config.yaml"
    path.write_text(json.dumps(gateway_config(POLICY, port, echo_port)))
    command = [sys.executable, "-m", "gateway", "run", "--config", str(path)]
    with running(command, cores.gateway, folder / "gateway.log", ROOT) as process:
        process.wait_for_port(port)
        yield port


def _fuzz(
    folder: Path, suite: list[str], url: str, options: argparse.Namespace
) -> subprocess.Popen[bytes]:
    folder.mkdir()
    spec = {
        "outdir": str(folder / "reports"),
        "servers": [{"agent": "echo", "url": url}],
        "cases": options.cases,
        "exclude-cases": SLOW if options.quick else (),
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    with (folder / "out.log").open("wb") as log:
        command = [*suite, str(folder / "spec.json"), POLICY.keys[0].token]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _read(folder: Path) -> Verdicts:
    index = folder / "reports" / "index.json"
    if not index.exists():
        log = (folder / "out.log").read_text("utf-8", "replace")
        raise Unusable(f"the fuzzing client reported nothing:\n{log[-2000:]}")
    cases: Mapping[str, Mapping[str, Any]] = json.loads(index.read_text())["echo"]
    return {
        name: (case["behavior"], case["behaviorClose"], case["remoteCloseCode"])
        for name, case in cases.items()
    }


def _report(direct: Verdicts, through: Verdicts) -> int:
    differing = sorted(
        name for name in direct.keys() | through.keys() if direct.get(name) != through.get(name)
    )
    print("| cases | number | same verdict | OK directly | OK through the gateway |")
    print("|---|---:|---:|---:|---:|")
    groups = Counter(name.partition(".")[0] for name in direct)
    for group in sorted(groups, key=int):
        same = groups[group] - sum(name.startswith(f"{group}.") for name in differing)
        shares = " | ".join(str(_good(verdicts, group)) for verdicts in (direct, through))
        print(f"| {group} {GROUPS.get(group, '')} | {groups[group]} | {same} | {shares} |")
    print(f"| **all** | {len(direct)} | {len(direct) - len(differing)} |", end="")
    print(f" {_good(direct)} | {_good(through)} |")
    for name in differing:
        print(f"{name}: directly {direct.get(name)}, through the gateway {through.get(name)}")
    return 1 if differing else 0


def _good(verdicts: Verdicts, group: str = "") -> int:
    """Count the cases that were passed; `INFORMATIONAL` ones judge nothing."""
    prefix = f"{group}." if group else ""
    return sum(
        verdict[0] in ("OK", "NON-STRICT", "INFORMATIONAL")
        for name, verdict in verdicts.items()
        if name.startswith(prefix)
    )


if __name__ == "__main__":
    sys.exit(main())
