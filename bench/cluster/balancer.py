"""HAProxy in front of the gateways of a cluster, if it is installed: connections go to whoever says that it is ready.

Knows what `deploy/front/haproxy.cfg` says of health checks, without the PROXY protocol, so that every gateway can be
reached directly as well.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.cluster.nodes import Node
from bench.machine import Process, free_port, program

CHECK_SECONDS: Final = 0.2
"""How often each gateway is asked; it is left out when it has said no twice."""

_CONFIG: Final = """\
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    option redispatch
    retries 3
frontend public
    bind 127.0.0.1:{port}
    default_backend tollhouse
backend tollhouse
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter {milliseconds:.0f} fall 2 rise 1
{servers}
"""


@contextmanager
def opened(folder: Path, nodes: Sequence[Node], port: int = 0) -> Iterator[int]:
    """Run it; give its port. Raises `Absent` where HAProxy is not installed."""
    haproxy, port = program("haproxy", "haproxy"), port or free_port()
    servers = "\n".join(
        f"    server {node.name} 127.0.0.1:{node.port} port {node.metrics}" for node in nodes
    )
    config, log = folder / "haproxy.cfg", folder / "haproxy.log"
    config.write_text(_CONFIG.format(port=port, milliseconds=CHECK_SECONDS * 1000, servers=servers))
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [haproxy, "-f", str(config), "-db"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process = Process(popen, log)
    try:
        process.wait_for_port(port)
        yield port
    finally:
        process.stop()
