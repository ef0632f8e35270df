"""What clients and operators meet: certificates, whose address is believed, who reaches the admin API, free ports."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from gateway.cli.checkup.finding import Finding, Patient, fail, ok, warn
from gateway.config.model import Listeners, Tls, split_bind
from gateway.config.pem import PemError, read_certificates

_DAY: Final = 86_400.0
_SOON: Final = 14 * _DAY
_LISTENERS: Final = (*Listeners.model_fields,)

_IN_CLEAR: Final = {
    "admin": "tokens and new keys",
    "delivery": "secrets that are taken with a link",
    "forward_auth": "the keys of clients",
}
"""Listener -> what crosses the network in clear when it is beyond this host and does not speak TLS."""
_EVERYBODY: Final = {4: 8, 6: 16}
"""A trusted network with a shorter prefix than that is more than anybody's own proxies."""


def certificates(patient: Patient) -> Iterator[Finding]:
    """No certificate has expired, or does soon."""
    found = [*_certificates(patient)]
    for where, path in found:
        try:
            ends_at = read_certificates(path)[0].ends_at
        except PemError as error:
            yield fail("certificates", f"{where}: {path} {error}", "see `tollhouse check`")
            continue
        days = (ends_at - patient.now) / _DAY
        if days <= 0:
            yield fail(
                "certificates", f"{where}: {path} has expired", "renew it; it is taken by itself"
            )
        elif ends_at - patient.now < _SOON:
            yield warn(
                "certificates",
                f"{where}: {path} expires in {days:.0f} days",
                "whoever renews it automatically should have by now",
            )
        else:
            yield ok("certificates", f"{where}: {path} is valid for {days:.0f} days")
    if not found:
        yield ok("certificates", "none are used")


def _certificates(patient: Patient) -> Iterator[tuple[str, Path]]:
    for name in _LISTENERS:
        section: Tls | None = getattr(patient.config.listeners, name).tls
        for pair in section.certificates if section is not None else ():
            yield f"listeners.{name}", patient.anchored(pair.certificate)
    for name, upstream in patient.config.upstreams.items():
        if upstream.tls.certificate:
            yield f"upstreams.{name}", patient.anchored(upstream.tls.certificate)


def trusted_proxies(patient: Patient) -> Iterator[Finding]:
    """What is believed about addresses fits where the gateway listens."""
    section, check = patient.config.client_address, "trusted proxies"
    for entry in section.trusted_proxies:
        network = ip_network(entry)
        if network.prefixlen < _EVERYBODY[network.version]:
            yield fail(
                check,
                f"{entry} is trusted: whoever is in it can claim any address, past every allowlist",
                "name the addresses of your own proxies only",
            )
    if section.trusted_proxies:
        yield ok(check, f"{len(section.trusted_proxies)} networks, by {section.header}")
    elif _is_near(patient.config.listeners.public.bind):
        yield warn(
            check,
            "clients reach the gateway through something on this host, and no proxy is trusted: every request seems to"
            " come from it, for allowlists, throttling and logs",
            "set client_address.trusted_proxies (docs/how-to/run-behind-a-load-balancer.md)",
        )
    else:
        yield ok(check, "none: right as long as clients connect directly")


def exposure(patient: Patient) -> Iterator[Finding]:
    """What is not for clients is out of their reach, and speaks TLS where it is not."""
    listeners = patient.config.listeners
    for name, what in _IN_CLEAR.items():
        section = getattr(listeners, name)
        if section.bind is not None:
            yield _exposed(f"listeners.{name}", section.bind, section.tls, what)
    pages, tls = patient.config.dashboard.bind, listeners.admin.tls
    if pages is not None:
        yield _exposed("dashboard", pages, tls, _IN_CLEAR["admin"], "listeners.admin.tls")
    bind = listeners.metrics.bind
    if not _is_near(bind) and listeners.metrics.tls is None:
        yield warn(
            "exposure",
            f"listeners.metrics listens on {bind} without TLS: it tells the names of routes and upstreams",
            "let a firewall allow Prometheus only",
        )


def _exposed(name: str, bind: str, tls: Tls | None, what: str, where: str = "") -> Finding:
    if _is_near(bind):
        return ok("exposure", f"{name} listens on {bind}")
    if tls is None:
        return fail(
            "exposure",
            f"{name} listens on {bind} without TLS: {what} cross the network in clear",
            f"{where or f'{name}.tls'}, or an address that only this host reaches",
        )
    return warn(
        "exposure",
        f"{name} listens on {bind}, beyond this host",
        "let a firewall allow those only whom it is for; ask for client certificates",
    )


def _is_near(bind: str) -> bool:
    """Tell whether only this host can connect."""
    host, port = split_bind(bind)
    if port < 0 or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def ports(patient: Patient) -> Iterator[Finding]:
    """What the gateway listens on is free, or it is the one that has it."""
    config = patient.config
    binds = {f"listeners.{name}": getattr(config.listeners, name).bind for name in _LISTENERS}
    for name, bind in {**binds, "dashboard": config.dashboard.bind}.items():
        if bind is None:
            continue
        host, port = split_bind(bind)
        error = _try_unix(patient.anchored(host)) if port < 0 else _try_tcp(host, port)
        where = f"{name}.bind {bind}"
        if not error:
            yield ok("ports", f"{where} is free")
        elif error == errno.EADDRINUSE and patient.is_running:
            yield ok("ports", f"{where} is in use, and so is the store: a gateway runs")
        elif error == errno.EADDRINUSE:
            yield fail("ports", f"{where} is in use", f"see who has it: ss -ltnp | grep {port}")
        else:
            yield fail("ports", f"{where}: {os.strerror(error)}", _ADVICE.get(error, "change it"))


_ADVICE: Final = {
    errno.EACCES: "ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE; folders of sockets must be writable",
    errno.EADDRNOTAVAIL: "this host does not have that address",
    errno.ENOENT: "make the folder",
}


def _try_tcp(host: str, port: int) -> int:
    """Return the error number of listening there, 0 when that can be done."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen()
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def _try_unix(path: Path) -> int:
    folder = next(each for each in path.absolute().parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return errno.EACCES
    if not path.exists():
        return 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return 0  # a dead process left it: the next start replaces it
    return errno.EADDRINUSE
