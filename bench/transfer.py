"""Long bodies down and up through the gateway: `python -m bench.transfer`.

Proves that memory stays flat: the download stops reading for a while, so a gateway that does not
hold its upstream back would have to keep the rest; the upload goes to an upstream that hashes what
it gets and is slower than the client. Every byte is compared. `--at-once 50` sends as many bodies
in each direction at the same time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench.machine import Cores, Process, Unusable, free_port, running
from bench.policy import WIDE, Key, Policy, Route, mint
from bench.subjects import GATEWAY_COMMAND, ROOT, gateway_config
from gateway.demo.upstream import BLOCK

GROWTH_MAX: Final = 32 * 2**20
"""Most bytes by which the gateway's peak may exceed its memory at rest."""

IN_FLIGHT_MAX: Final = 64 * 1024 + 2 * 256 * 1024
"""Most bytes of one body that the gateway holds: the transport's high-water mark, what one read
brings, and that once more in frames."""

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


Way = Callable[[int, int], float]
"""Sends or receives a body: port, bytes -> seconds without a stall."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Some bodies at once: seconds without the stall, and the gateway's peak memory meanwhile."""

    name: str
    bodies: int
    seconds: float
    peak_bytes: int


def main() -> int:
    """Transfer; return 0 when memory stayed flat, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024, help="length of each body (1024)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument(
        "--at-once", type=int, default=1, help="bodies in each direction at the same time (1)"
    )
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
            transfers, rest = _all(upstream_port, upstream, size, options.at_once)
        else:
            with _gateway(folder, cores, upstream_port, options.command) as (port, gateway):
                transfers, rest = _all(port, gateway, size, options.at_once)
    name = "demo upstream" if options.direct else "gateway"
    return _report(name, transfers, rest, size, options.at_once)


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


def _all(port: int, gateway: Process, size: int, at_once: int) -> tuple[list[Transfer], int]:
    """Return the transfers and the gateway's memory at rest, after a small request."""
    _download(port, len(BLOCK))
    rest, _ = gateway.memory_bytes()
    ways: dict[str, Way] = {
        "down": _download,
        "up": _upload,
        "up, in chunks": partial(_upload, is_chunked=True),
    }
    if at_once == 1:
        return [_measured(name, [way], port, gateway, size) for name, way in ways.items()], rest
    uploads = [ways["up, in chunks" if n % 2 else "up"] for n in range(at_once)]
    mixed = [*uploads, *(_download for _ in range(at_once))]
    name = f"{at_once} down and {at_once} up, half of these in chunks"
    return [_measured(name, mixed, port, gateway, size)], rest


def _measured(name: str, ways: Sequence[Way], port: int, gateway: Process, size: int) -> Transfer:
    _forget_peak(gateway)
    with ThreadPoolExecutor(len(ways)) as threads:
        seconds = max(threads.map(lambda way: way(port, size), ways))
    return Transfer(name, len(ways), seconds, gateway.memory_bytes()[1])


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


def _upload(port: int, size: int, *, is_chunked: bool = False) -> float:
    """Send `size` bytes, which the upstream's digest proves; return the seconds."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for _ in range(size // len(BLOCK)):
            digest.update(BLOCK)
            yield BLOCK

    started = time.monotonic()
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(size))
    headers = {**_credentials(), framing[0]: framing[1]}
    connection.request(
        "POST", "/v1/echo", body=blocks(), headers=headers, encode_chunked=is_chunked
    )
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


def _report(name: str, transfers: list[Transfer], rest: int, size: int, at_once: int) -> int:
    print(f"| {size / 2**20:,.0f} MiB | MiB/s | peak memory of the {name} | above rest |")
    print("|---|---:|---:|---:|")
    for transfer in transfers:
        print(
            f"| {transfer.name} | {transfer.bodies * size / 2**20 / transfer.seconds:,.0f} "
            f"| {transfer.peak_bytes / 2**20:.1f} MiB "
            f"| {(transfer.peak_bytes - rest) / 2**20:+.1f} MiB |"
        )
    print(f"\nAt rest {rest / 2**20:.1f} MiB. Each download paused for {STALL_SECONDS:.0f} s.")
    growth_max = GROWTH_MAX if at_once == 1 else 2 * at_once * IN_FLIGHT_MAX
    grown = [t.name for t in transfers if t.peak_bytes - rest > growth_max]
    if grown:
        print(f"NOT FLAT: {' and '.join(grown)} grew by more than {growth_max / 2**20:.0f} MiB")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
