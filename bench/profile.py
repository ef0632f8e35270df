"""Where the time of a request goes: `python -m bench.profile`.

Runs a real gateway under the load of `make bench` and draws a flame graph of it (py-spy), with native frames: much of
the time is spent in uvloop and in the kernel. Then counts the system calls per request (strace), under which the
gateway is several times slower; so only the numbers of calls mean something, not their times.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port, program
from bench.policy import make_policy
from bench.subjects import GATEWAY_COMMAND, ROOT, Bench, Subject

OUTPUT: Final = ROOT / "build" / "profile.svg"
RATE: Final = 200
_ATTACH_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 120.0

_COUNTED: Final = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", re.MULTILINE)
"""A line of `strace -c`: share, seconds, microseconds per call, calls, errors (mostly none), name."""


def main() -> int:
    """Profile; return 0, or 1 when a tool is missing or does not work here."""
    options = _parser().parse_args()
    try:
        tools = find_tools()
        with tempfile.TemporaryDirectory(prefix="tollhouse-profile-") as folder:
            _profile(options, tools, Path(folder))
    except Unusable as problem:
        print(f"profile: {problem}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile",
        description="Draw a flame graph of the gateway under load, and count its system calls.",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the flame graph (SVG)")
    parser.add_argument("--seconds", type=int, default=10, help="how long it is watched (10)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    return parser


def find_tools() -> dict[str, str]:
    """Return the paths of the tools by their names; raise `Unusable` naming all that are missing."""
    missing = []
    found = {}
    for name, package in (("wrk", "wrk"), ("nginx", "nginx-light"), ("strace", "strace")):
        try:
            found[name] = program(name, package)
        except Unusable as problem:
            missing.append(str(problem))
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy")
    if spy is None:
        missing.append(
            "py-spy is not installed; into this environment: "
            f"{sys.executable} -m pip install 'py-spy>=0.4' (it is in the extra `profile`)"
        )
    else:
        found["py-spy"] = spy
    if missing:
        raise Unusable("\n  ".join(["something is missing:", *missing]))
    return found


def _profile(options: argparse.Namespace, tools: Mapping[str, str], folder: Path) -> None:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    load = Load(bench.policy, bench.cores, folder)
    with bench.upstream() as upstream, bench.tollhouse(options.command) as gateway:
        load.run(gateway.port, gateway.process, upstream, 1)  # warm-up
        _draw(options, tools["py-spy"], load, gateway, upstream)
        counts, requests = _count(options.seconds, tools["strace"], load, gateway, upstream, folder)
    print(f"\nSystem calls per request, over {requests:,} requests:\n")
    print(table(counts, requests))


def _draw(
    options: argparse.Namespace, spy: str, load: Load, gateway: Subject, upstream: Process
) -> None:
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.unlink(missing_ok=True)
    command = [spy, "record", "--subprocesses", "--rate", str(RATE)]
    command += ["--duration", str(options.seconds), "--output", str(options.output)]
    command += ["--pid", str(gateway.process.pids()[0])]
    for frames in (["--native"], []):
        watcher = _watch([*command, *frames])
        seen = load.run(gateway.port, gateway.process, upstream, options.seconds)
        output = _end(watcher, "py-spy")
        if options.output.exists():
            break
        print(f"py-spy {' '.join(frames)} drew nothing:\n{output[-1000:]}", file=sys.stderr)
    else:
        raise Unusable("py-spy does not work here; it needs the right to trace (ptrace)")
    print(f"{seen.requests_per_second:,.0f} requests/s, {seen.cpu_per_request * 1e6:.1f} us each")
    print(f"flame graph: {options.output}")


def _count(
    seconds: int, strace: str, load: Load, gateway: Subject, upstream: Process, folder: Path
) -> tuple[dict[str, int], int]:
    """Return the calls by name, most frequent first, and the requests during which they were counted."""
    summary = folder / "strace.txt"
    command = [strace, "-c", "-f", "-o", str(summary)]
    for pid in gateway.process.pids():
        command += ["-p", str(pid)]
    watcher = _watch(command)
    seen = load.run(gateway.port, gateway.process, upstream, seconds)
    watcher.send_signal(signal.SIGINT)
    output = _end(watcher, "strace")
    counts = calls(summary.read_text("utf-8") if summary.exists() else "")
    if not counts:
        raise Unusable(f"strace counted nothing; may it attach (ptrace)?\n{output[-1000:]}")
    return counts, round(seen.requests_per_second * seconds)


def _watch(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start what watches the gateway, and give it time to attach."""
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(_ATTACH_SECONDS)
    return watcher


def _end(watcher: subprocess.Popen[str], name: str) -> str:
    try:
        return watcher.communicate(timeout=_PATIENCE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        watcher.kill()
        watcher.communicate()
        raise Unusable(f"{name} does not end") from None


def calls(summary: str) -> dict[str, int]:
    """Read what `strace -c` wrote: calls by name, most frequent first."""
    found = {name: int(count) for count, name in _COUNTED.findall(summary) if name != "total"}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def table(counts: Mapping[str, int], requests: int) -> str:
    """Return the calls per request as a Markdown table; what hardly ever happens is left out."""
    lines = ["| system call | per request |", "|---|---:|"]
    each = {name: count / max(1, requests) for name, count in counts.items()}
    lines += [f"| {name} | {share:.2f} |" for name, share in each.items() if share >= 0.005]
    lines.append(f"| all | {sum(each.values()):.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
