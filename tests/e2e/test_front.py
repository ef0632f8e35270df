"""Each example of a proxy in front, in that proxy, in front of a real gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import trustme

from bench.machine import free_port
from tests.certificates import authority, issue
from tests.e2e.process import ROOT, Running, running, write_config
from tests.e2e.waiting import eventually

FRONT = ROOT / "deploy" / "front"
INVENTED = {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4"}


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed, so its example is NOT tested")
    return found


@contextmanager
def started(command: Sequence[str], log: Path, port: int) -> Iterator[None]:
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        eventually(lambda: process.poll() is not None or _is_open(port))
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


def _is_open(port: int) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{port}/", timeout=1)
    except requests.ConnectionError as error:
        return "refused" not in str(error)
    return True


def lines(gateway: Running) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for line in gateway.access_log.read_text().splitlines()
        if '"request_id"' in line
    ]


def seen_address(gateway: Running, path: str) -> object:
    def found() -> list[dict[str, object]]:
        return [line for line in lines(gateway) if line["target"] == path]

    eventually(lambda: bool(found()))
    return found()[-1]["client_address"]


def trusting(folder: Path, upstream: str, header: str, *, proxy_protocol: bool = False) -> str:
    text = write_config(folder, upstream).read_text()
    changes = {
        "  #trusted_proxies: []": "  trusted_proxies: [127.0.0.0/8]",
        "  #header: x-forwarded-for": f"  header: {header}",
    }
    if proxy_protocol:
        changes["    #proxy_protocol: false"] = "    proxy_protocol: true"
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def asked_over_tls(url: str, ca: trustme.CA) -> int:
    with ca.cert_pem.tempfile() as trusted:
        return requests.get(url, headers=INVENTED, verify=trusted, timeout=10).status_code


def is_of_this_machine(address: str) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


def test_nginx_passes_on_the_address_that_it_saw_and_no_other(
    tmp_path: Path, demo_upstream: str
) -> None:
    nginx, port = program("nginx"), free_port()
    ca = authority()
    issued = issue(tmp_path, ca, "api.example.com", "127.0.0.1")
    with running(
        tmp_path, demo_upstream, trusting(tmp_path, demo_upstream, "x-forwarded-for")
    ) as gateway:
        site = (FRONT / "nginx.conf").read_text()
        for old, new in {
            "127.0.0.1:8080": gateway.public,
            "listen 8443": f"listen 127.0.0.1:{port}",
            "/etc/ssl/api.example.com.pem": str(issued.certificate),
            "/etc/ssl/api.example.com.key": str(issued.key),
        }.items():
            assert old in site
            site = site.replace(old, new)
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off;\n{site}\n}}\n"
        )
        command = [nginx, "-c", str(config), "-p", str(tmp_path)]
        with started(command, tmp_path / "nginx.log", port):
            url = f"https://127.0.0.1:{port}/v1/status?by=nginx"
            assert asked_over_tls(url, ca) == 200
        assert seen_address(gateway, "/v1/status?by=nginx") == "127.0.0.1"


def test_haproxy_tells_the_address_by_the_proxy_protocol(
    tmp_path: Path, demo_upstream: str
) -> None:
    haproxy, port = program("haproxy"), free_port()
    text = trusting(tmp_path, demo_upstream, "none", proxy_protocol=True)
    with running(tmp_path, demo_upstream, text) as gateway:
        settings = (FRONT / "haproxy.cfg").read_text()
        for old, new in {
            "127.0.0.1:8080 port 9100": f"{gateway.public} port {port_of(gateway.metrics)}",
            "bind :8443": f"bind 127.0.0.1:{port}",
            "maxconn 20000": "maxconn 100",
        }.items():
            assert old in settings
            settings = settings.replace(old, new)
        config = tmp_path / "haproxy.cfg"
        config.write_text(settings)
        with started([haproxy, "-f", str(config), "-db"], tmp_path / "haproxy.log", port):
            url = f"http://127.0.0.1:{port}/v1/status?by=haproxy"
            eventually(lambda: _status(url) == 200)
        assert seen_address(gateway, "/v1/status?by=haproxy") == "127.0.0.1"


def _status(url: str) -> int:
    try:
        return requests.get(url, headers=INVENTED, timeout=5).status_code
    except requests.RequestException:
        return 0


def test_envoy_passes_on_the_address_that_it_saw_and_no_other(
    tmp_path: Path, demo_upstream: str
) -> None:
    envoy, port = program("envoy"), free_port()
    with running(
        tmp_path, demo_upstream, trusting(tmp_path, demo_upstream, "x-forwarded-for")
    ) as gateway:
        settings = (FRONT / "envoy.yaml").read_text()
        for old, new in {
            "port_value: 8080": f"port_value: {port_of(gateway.public)}",
            "port_value: 8443": f"port_value: {port}",
        }.items():
            assert old in settings
            settings = settings.replace(old, new)
        config = tmp_path / "envoy.yaml"
        config.write_text(settings)
        command = [envoy, "-c", str(config), "--concurrency", "1", "--base-id", str(port)]
        with started(command, tmp_path / "envoy.log", port):
            url = f"http://127.0.0.1:{port}/v1/status?by=envoy"
            eventually(lambda: _status(url) == 200)
        # For a client on loopback Envoy writes the address of its own machine.
        assert is_of_this_machine(str(seen_address(gateway, "/v1/status?by=envoy")))


@pytest.mark.parametrize("name", ["nginx.conf", "haproxy.cfg", "envoy.yaml"])
def test_each_example_says_what_the_gateway_needs(name: str) -> None:
    assert re.search(r"client_address: \{trusted_proxies: \[[0-9.]+\]", (FRONT / name).read_text())
