"""One long body down and up through the gateway: `python -m bench.transfer`.

Proves that memory stays flat: the download stops reading for a while, so a gateway that does not
hold its upstream back would have to keep the rest; the upload goes to an upstream that hashes what
it gets and is slower than the client. Every byte is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench.machine import Cores, Process, Unusable, free_port, running
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.subjects import GATEWAY_COMMAND, ROOT, gateway_config
from gateway.demo.upstream import BLOCK

GROWTH_MAX: Final = 32 * 2**20
"""Most bytes by which the gateway's peak may exceed its memory at rest."""

STALL_SECONDS: Final = 2.0
STALL_AFTER: Final = 4 * 2**20
READ_BYTES: Final = 256 * 1024
PATTERN: Final = BLOCK * (READ_BYTES // len(BLOCK) + 1)

POLICY: Final = Policy(
    routes=(
        Route("download", "GET", "/v1/bytes/{n}", "transfer:read"),
        Route("upload", "POST", "/v1/echo", "transfer:write"),
    ),
    keys=(Key("transfer", mint("transfer"), ("transfer:read", "transfer:write"), WIDE),),
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One direction: seconds without the stall, and the gateway's peak memory during it."""

    name: str
    seconds: float
    peak_bytes: int


def main() -> int:
    """Transfer; return 0 when memory stayed flat, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024, help="length of each body (1024)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--direct", action="store_true", help="leave the gateway out")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-transfer-") as folder:
            return _run(Path(folder), options)
    except Unusable as problem:
        print(f"transfer: {problem}", file=sys.stderr)
        return 1


def _run(folder: Path, options: argparse.Namespace) -> int:
    size = options.mebibytes * 2**20
    cores = Cores.of_this_machine()
    with _upstream(folder, cores) as (upstream_port, upstream):
        if options.direct:
            transfers, rest = _both(upstream_port, upstream, size)
        else:
            with _gateway(folder, cores, upstream_port, options.command) as (port, gateway):
                transfers, rest = _both(port, gateway, size)
    return _report("demo upstream" if options.direct else "gateway", transfers, rest, size)


@contextmanager
def _upstream(folder: Path, cores: Cores) -> Iterator[tuple[int, Process]]:
    port = free_port()
    command = [sys.executable, "-m", "gateway.demo", "--port", str(port)]
    with running(command, cores.load, folder / "upstream.log", ROOT) as process:
        process.wait_for_port(port)
        yield port, process


@contextmanager
def _gateway(
    folder: Path, cores: Cores, upstream_port: int, command: str
) -> Iterator[tuple[int, Process]]:
    port = free_port()
    config = gateway_config(POLICY, port, upstream_port)
    for route in config["routes"]:
        route["body_bytes_max"] = "1TiB"
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    words = [word.replace("{config}", str(path)) for word in shlex.split(command)]
    with running(words, cores.gateway, folder / "gateway.log", ROOT) as process:
        process.wait_for_port(port)
        yield port, process


def _both(port: int, gateway: Process, size: int) -> tuple[list[Transfer], int]:
    """Return both transfers and the gateway's memory at rest, after a small request."""
    _download(port, len(BLOCK))
    rest, _ = gateway.memory_bytes()
    transfers = []
    for name, transfer in (("down", _download), ("up", _upload)):
        _forget_peak(gateway)
        seconds = transfer(port, size)
        transfers.append(Transfer(name, seconds, gateway.memory_bytes()[1]))
    return transfers, rest


def _download(port: int, size: int) -> float:
    """Receive `size` bytes, with one pause; return the seconds without the pause."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    started = time.monotonic()
    connection.request("GET", f"/v1/bytes/{size}", headers=_credentials())
    response = connection.getresponse()
    if response.status != 200:
        raise Unusable(f"download: {response.status} {response.read()[:500]!r}")
    buffer = bytearray(READ_BYTES)
    view, received, stall = memoryview(buffer), 0, 0.0
    while count := response.readinto(view):
        start = received % 256  # the pattern repeats every 256 bytes
        if view[:count] != PATTERN[start : start + count]:
            raise Unusable(f"download: wrong bytes after {received}")
        if received < STALL_AFTER <= received + count:
            stall = STALL_SECONDS
            time.sleep(stall)
        received += count
    connection.close()
    if received != size:
        raise Unusable(f"download: {received} bytes instead of {size}")
    return time.monotonic() - started - stall


def _upload(port: int, size: int) -> float:
    """Send `size` bytes, which the upstream's digest proves; return the seconds."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for _ in range(size // len(BLOCK)):
            digest.update(BLOCK)
            yield BLOCK

    started = time.monotonic()
    headers = {**_credentials(), "Content-Length": str(size)}
    connection.request("POST", "/v1/echo", body=blocks(), headers=headers)
    response = connection.getresponse()
    answer = response.read()
    seconds = time.monotonic() - started
    connection.close()
    if response.status != 200:
        raise Unusable(f"upload: {response.status} {answer[:500]!r}")
    told = json.loads(answer)
    if (told["body_bytes"], told["body_sha256"]) != (size, digest.hexdigest()):
        raise Unusable(f"upload: the upstream got {told['body_bytes']} bytes, or other ones")
    return seconds


def _credentials() -> dict[str, str]:
    return {"Authorization": f"Bearer {POLICY.keys[0].token}"}


def _forget_peak(process: Process) -> None:
    """Start the peak anew (`man 5 proc`: writing 5 to clear_refs resets VmHWM)."""
    for pid in process.pids():
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue  # then the peak includes what was before: never too kind


def _report(name: str, transfers: list[Transfer], rest: int, size: int) -> int:
    print(f"| {size / 2**20:,.0f} MiB | MiB/s | peak memory of the {name} | above rest |")
    print("|---|---:|---:|---:|")
    for transfer in transfers:
        print(
            f"| {transfer.name} | {size / 2**20 / transfer.seconds:,.0f} "
            f"| {transfer.peak_bytes / 2**20:.1f} MiB "
            f"| {(transfer.peak_bytes - rest) / 2**20:+.1f} MiB |"
        )
    print(f"\nAt rest {rest / 2**20:.1f} MiB. The download paused for {STALL_SECONDS:.0f} s.")
    grown = [t.name for t in transfers if t.peak_bytes - rest > GROWTH_MAX]
    if grown:
        print(f"NOT FLAT: {' and '.join(grown)} grew by more than {GROWTH_MAX // 2**20} MiB")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
