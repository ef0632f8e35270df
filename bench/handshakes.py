"""What TLS costs: `python -m bench.handshakes`.

New connections (a full handshake, then a resumed one) of two kinds of keys, beside nginx with the same certificates;
requests on kept connections, beside the same gateway without TLS; memory of idle connections. Costs are CPU time of the
process under measurement, the least of several rounds: others can only add to it. What one core can do per second
follows from that.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port, program, running
from bench.peers.nginx import framed
from bench.policy import make_policy
from bench.subjects import GATEWAY_COMMAND, ROOT, Bench, gateway_config

IDLE_CONNECTIONS: Final = 500

KINDS: Final = {
    "ECDSA P-256": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "RSA 2048": ("rsa:2048",),
}
LOADS: Final = {
    "full, TLS 1.3": ("-new", "-tls1_3"),
    "resumed, TLS 1.3": ("-reuse", "-tls1_3"),
    "full, TLS 1.2": ("-new", "-tls1_2"),
    "resumed, TLS 1.2": ("-reuse", "-tls1_2"),
}

NGINX_TLS: Final = """
  server {{
    listen 127.0.0.1:{port} ssl backlog=1024;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ return 401 '{{}}'; }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Something that speaks TLS."""

    port: int
    process: Process


def main() -> int:
    """Measure; return 0, or 1 when the machine cannot."""
    parser = argparse.ArgumentParser(prog="python -m bench.handshakes", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="length of a slice (3)")
    parser.add_argument("--rounds", type=int, default=5, help="slices of each load (5)")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-handshakes-") as folder:
            _measure(Path(folder), options.rounds, options.seconds)
    except Unusable as problem:
        print(f"handshakes: {problem}", file=sys.stderr)
        return 1
    return 0


def _measure(folder: Path, rounds: int, seconds: int) -> None:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    with bench.upstream() as upstream:
        print("| new connection with one request | CPU | per second and core | nginx's CPU |")
        print("|---|---:|---:|---:|")
        for n, (kind, key) in enumerate(KINDS.items()):
            home = folder / f"kind{n}"
            home.mkdir()
            _certificate(home, key)
            with _gateway(bench, home) as ours, _nginx(bench, home) as theirs:
                for name, options in LOADS.items():
                    print(_row(f"{kind}, {name}", bench, (ours, theirs), options, rounds, seconds))
                if n == 0:
                    kept = _kept(bench, ours, upstream, rounds, seconds)
                    idle = _idle_bytes(ours)
        print(f"\nA request on a kept connection: {kept}.")
        print(f"Memory of an idle connection: {idle / 1024:.0f} KiB.")
    print(f"{platform.python_implementation()} {platform.python_version()}, {ssl.OPENSSL_VERSION}")


def _row(
    name: str,
    bench: Bench,
    servers: tuple[Server, Server],
    options: tuple[str, ...],
    rounds: int,
    seconds: int,
) -> str:
    ours, theirs = (
        min(_cost(bench, server, options, seconds) for _ in range(rounds)) for server in servers
    )
    return f"| {name} | {ours * 1e6:,.0f} us | {1 / ours:,.0f} | {theirs * 1e6:,.0f} us |"


def _cost(bench: Bench, server: Server, options: tuple[str, ...], seconds: int) -> float:
    """Return the CPU seconds of one connection."""
    before = server.process.cpu_seconds()
    command = [program("taskset", "util-linux"), "--cpu-list", str(bench.cores.load)]
    command += [program("openssl", "openssl"), "s_time", "-connect", f"127.0.0.1:{server.port}"]
    command += [*options, "-www", "/nothing", "-time", str(seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    spent = server.process.cpu_seconds() - before
    for line in done.stdout.splitlines():
        if "real seconds" in line:
            return spent / max(1, int(line.split()[0]))
    raise Unusable(f"openssl s_time failed: {(done.stdout + done.stderr)[-1000:]}")


def _kept(bench: Bench, secured: Server, upstream: Process, rounds: int, seconds: int) -> str:
    """Compare requests on kept connections with and without TLS, in turn."""
    with bench.tollhouse(GATEWAY_COMMAND) as plain:
        load = Load(bench.policy, bench.cores, bench.folder)
        costs: dict[str, list[float]] = {"http": [], "https": []}
        for _ in range(rounds):
            for scheme, server in (("http", plain), ("https", secured)):
                found = load.run(server.port, server.process, upstream, seconds, scheme=scheme)
                if found.failures:
                    raise Unusable(f"{scheme}: {found.failures} requests failed")
                costs[scheme].append(found.cpu_per_request)
    before, after = (min(costs[scheme]) * 1e6 for scheme in ("http", "https"))
    return f"{before:.1f} us of CPU time without TLS, {after:.1f} us with it"


def _idle_bytes(server: Server) -> float:
    """Return by how much the server grows with each connection that was used once and waits."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack:
        _open(
            stack, context, server.port, 100
        )  # more than there were: none of the next takes old memory
        before, _ = server.process.memory_bytes()
        _open(stack, context, server.port, IDLE_CONNECTIONS)
        after, _ = server.process.memory_bytes()
    return (after - before) / IDLE_CONNECTIONS


def _open(stack: ExitStack, context: ssl.SSLContext, port: int, count: int) -> None:
    for _ in range(count):
        raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        client = stack.enter_context(context.wrap_socket(raw))
        client.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        if not client.recv(65536).startswith(b"HTTP/1.1 404"):
            raise Unusable("an idle connection was not answered")


def _certificate(home: Path, key: tuple[str, ...]) -> None:
    subprocess.run(
        [program("openssl", "openssl"), "req", "-x509", "-nodes", "-newkey", *key, "-days", "30",
         "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem",
         "-out", "certificate.pem"],
        cwd=home, check=True, capture_output=True,
    )  # fmt: skip


@contextmanager
def _gateway(bench: Bench, home: Path) -> Iterator[Server]:
    port = free_port()
    config = gateway_config(bench.policy, port, bench.upstream_port)
    config["listeners"]["public"]["tls"] = {
        "certificates": [{"certificate": "certificate.pem", "key": "key.pem"}]
    }
    path = home / "config.yaml"
    path.write_text(json.dumps(config))
    words = [word.replace("{config}", str(path)) for word in shlex.split(GATEWAY_COMMAND)]
    with running(words, bench.cores.gateway, home / "gateway.log", ROOT) as process:
        process.wait_for_port(port)
        yield Server(port, process)


@contextmanager
def _nginx(bench: Bench, home: Path) -> Iterator[Server]:
    port, folder = free_port(), home / "nginx"
    folder.mkdir()
    body = NGINX_TLS.format(port=port, certificate=home / "certificate.pem", key=home / "key.pem")
    config = folder / "nginx.conf"
    config.write_text(framed(folder, body))
    command = [program("nginx", "nginx-light"), "-p", str(folder), "-c", str(config)]
    with running(command, bench.cores.gateway, folder / "out.log", folder) as process:
        process.wait_for_port(port)
        yield Server(port, process)


if __name__ == "__main__":
    sys.exit(main())
