"""Certificates of a running gateway: on every listener, replaced without dropping anybody."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from gateway.assembly import tls_files
from gateway.assembly.errors import CannotStart
from gateway.assembly.gateway import Gateway, opened
from gateway.config.load import read
from gateway.config.model import Config
from gateway.config.reloading import ReloadRefused
from tests.assembly.serving import EDGE, ROUTES, configured
from tests.certificates import authority, client_context, issue

TOKEN = "t" * 40
PUBLIC = "tls: {certificates: [{certificate: api.test.pem, key: api.test.key}]"
ADMIN = "tls: {certificates: [{certificate: admin.test.pem, key: admin.test.key}]}"
METRICS = "tls: {certificates: [{certificate: metrics.test.pem, key: metrics.test.key}]}"


def secured(folder: Path, ca: trustme.CA, more: str = "", text: str = ROUTES) -> Config:
    """Return a configuration with TLS everywhere; `more` goes into that of the public listener."""
    for host in ("api.test", "admin.test", "metrics.test"):
        if not (folder / f"{host}.pem").exists():
            issue(folder, ca, host, "127.0.0.1", file=host)
    edge = EDGE.replace("drain_timeout: 5s}", f"drain_timeout: 5s, {PUBLIC}{more}}}}}")
    edge = edge.replace(
        "admin: {bind: 'unix:run/admin.sock'}",
        f"admin: {{bind: '127.0.0.1:0', token: {TOKEN}, {ADMIN}}}",
    )
    edge = edge.replace(
        "metrics: {bind: '127.0.0.1:0'}", f"metrics: {{bind: '127.0.0.1:0', {METRICS}}}"
    )
    return configured(folder, text, edge)


async def get(
    address: str, context: ssl.SSLContext, path: str, *fields: str, method: str = "GET"
) -> tuple[str, ssl.SSLObject]:
    """Return the answer, and the client's end of the connection."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    return answer.decode("latin-1"), tls


def names(tls: ssl.SSLObject) -> list[str]:
    shown = tls.getpeercert()
    assert shown is not None
    return [str(pair[1]) for pair in shown["subjectAltName"]]


def metric(gateway: Gateway, line: str) -> float:
    """Return the value of the sample that begins with `line`, 0 if there is none."""
    text = gateway.recorders.metrics.render()[0].decode()
    found = [each for each in text.splitlines() if each.startswith("tollhouse_" + line)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


async def reread(gateway: Gateway) -> str:
    """Reload; return why it was refused, nothing if it was not."""
    try:
        await gateway.reloads.reload("a test")
    except ReloadRefused as refusal:
        return str(refusal)
    return ""


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING):
        yield caplog


async def test_every_listener_speaks_tls_with_its_own_certificate(
    ca: trustme.CA, tmp_path: Path
) -> None:
    config = secured(tmp_path, ca)
    async with opened(config, tmp_path / "config.yaml") as gateway:
        context = client_context(ca)
        answer, tls = await get(gateway.public_address, context, "/me")
        assert answer.startswith("HTTP/1.1 401 ")
        assert names(tls)[0] == "api.test"
        answer, tls = await get(gateway.metrics_address, context, "/metrics")
        assert 'tollhouse_tls_handshakes_total{outcome="full"} 1.0' in answer
        assert 'expiry_timestamp_seconds{listener="admin",name="admin.test"}' in answer
        assert names(tls)[0] == "metrics.test"
        bearer = f"Authorization: Bearer {TOKEN}"
        answer, tls = await get(gateway.admin_address, context, "/admin/v1/keys", bearer)
        assert answer.startswith("HTTP/1.1 200 ")
        assert names(tls)[0] == "admin.test"


async def test_new_files_count_for_the_next_handshake_on_every_listener(
    ca: trustme.CA, tmp_path: Path
) -> None:
    async with opened(secured(tmp_path, ca), tmp_path / "config.yaml") as gateway:
        context = client_context(ca)
        host, _, port = gateway.public_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        for name in ("api.test", "admin.test", "metrics.test"):
            issue(tmp_path, ca, f"new.{name}", "127.0.0.1", file=name)
        assert await reread(gateway) == ""
        for address, name in (
            (gateway.public_address, "new.api.test"),
            (gateway.admin_address, "new.admin.test"),
            (gateway.metrics_address, "new.metrics.test"),
        ):
            _, tls = await get(address, context, "/")
            assert names(tls)[0] == name
        writer.write(b"GET /me HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        expiry = 'tls_certificate_expiry_timestamp_seconds{listener="public",name='
        assert metric(gateway, expiry + '"new.api.test"}') > time.time()
        assert metric(gateway, expiry + '"api.test"}') == 0


@pytest.mark.parametrize("fault", ["missing", "unreadable", "mismatched", "empty", "one of three"])
async def test_faulty_files_are_refused_and_the_old_ones_stay(
    ca: trustme.CA, tmp_path: Path, fault: str
) -> None:
    async with opened(secured(tmp_path, ca), tmp_path / "config.yaml") as gateway:
        issue(tmp_path, ca, "new.test", "127.0.0.1", file="api.test")
        match fault:
            case "missing":
                (tmp_path / "api.test.key").unlink()
            case "unreadable":
                (tmp_path / "api.test.pem").unlink()
                (tmp_path / "api.test.pem").mkdir()
            case "mismatched":
                issue(tmp_path, ca, "new.test", file="other")
                (tmp_path / "other.key").rename(tmp_path / "api.test.key")
            case "empty":
                (tmp_path / "api.test.pem").write_text("")
            case "one of three":
                (tmp_path / "metrics.test.pem").write_text("")
        found = await reread(gateway)
        assert found == "the configuration has 1 problem"
        assert metric(gateway, "config_last_reload_successful") == 0
        _, tls = await get(gateway.public_address, client_context(ca), "/me")
        assert names(tls)[0] == "api.test"


async def test_unchanged_files_keep_the_sessions_of_clients(ca: trustme.CA, tmp_path: Path) -> None:
    config = secured(tmp_path, ca)
    async with opened(config, tmp_path / "config.yaml") as gateway:
        before = gateway.certificates.prepare(config)
        assert await reread(gateway) == ""
        after = gateway.certificates.prepare(config)
        assert {name: terms for name, (terms, _) in before.by_listener.items()} == {
            name: terms for name, (terms, _) in after.by_listener.items()
        }


async def test_settings_change_with_what_was_prepared(ca: trustme.CA, tmp_path: Path) -> None:
    async with opened(secured(tmp_path, ca), tmp_path / "config.yaml") as gateway:
        context = client_context(ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        answer, _ = await get(gateway.public_address, context, "/me")
        assert answer.startswith("HTTP/1.1 401 ")
        secured(tmp_path, ca, ", minimum_version: 1.3")
        assert await reread(gateway) == ""
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await get(gateway.public_address, context, "/me")
        assert metric(gateway, 'tls_handshakes_total{outcome="version"}') == 1


async def test_every_file_of_the_listeners_is_watched(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    secured(tmp_path, ca, ", client_certificates: {mode: optional, ca: ca.pem}")
    hosts = ("api.test", "admin.test", "metrics.test")
    pairs = {tmp_path / f"{host}.{kind}" for host in hosts for kind in ("pem", "key")}
    assert {*pairs, tmp_path / "ca.pem"} <= set(read(tmp_path / "config.yaml", {}).sources.files)


async def test_adding_or_removing_tls_waits_for_a_restart(ca: trustme.CA, tmp_path: Path) -> None:
    async with opened(secured(tmp_path, ca), tmp_path / "config.yaml") as gateway:
        path = tmp_path / "config.yaml"
        path.write_text(path.read_text().replace(f", {METRICS}", ""))
        reloaded = await gateway.reloads.reload("a test")
        assert reloaded.restart == ["listeners.metrics.tls"]
        _, tls = await get(gateway.metrics_address, client_context(ca), "/livez")
        assert names(tls)[0] == "metrics.test"


async def test_the_gateway_does_not_start_on_a_faulty_file(ca: trustme.CA, tmp_path: Path) -> None:
    config = secured(tmp_path, ca)
    (tmp_path / "api.test.key").unlink()
    (tmp_path / "admin.test.pem").write_text("junk")
    with pytest.raises(CannotStart) as caught:
        async with opened(config, tmp_path / "config.yaml"):
            pass
    assert isinstance(caught.value, tls_files.Unusable)
    assert [key for key, _ in caught.value.faults] == [
        "listeners.public.tls",
        "listeners.admin.tls.certificates[0]",
    ]
    assert not (tmp_path / "keys.db").exists()


async def test_what_expires_soon_is_told_at_start(
    ca: trustme.CA, tmp_path: Path, records: pytest.LogCaptureFixture
) -> None:
    issue(tmp_path, ca, "api.test", file="api.test", valid_days=3.05)
    issue(tmp_path, ca, "admin.test", file="admin.test", valid_days=-1)
    async with opened(secured(tmp_path, ca), tmp_path / "config.yaml"):
        pass
    told = [record.getMessage() for record in records.records]
    assert any("api.test) expires in 3 days: renew it" in text for text in told)
    assert any("admin.test) has expired: clients refuse it" in text for text in told)
    assert not any("metrics.test" in text for text in told)


async def test_browsers_are_told_to_insist_on_tls_on_every_answer(
    ca: trustme.CA, tmp_path: Path
) -> None:
    hsts = ", strict_transport_security: {max_age: 365d, include_subdomains: true, preload: true}"
    async with opened(secured(tmp_path, ca, hsts), tmp_path / "config.yaml") as gateway:
        for path in ("/me", "/nothing", "/a%2fb"):
            answer, _ = await get(gateway.public_address, client_context(ca), path)
            line = "\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n"
            assert answer.count(line) == 1
        answer, _ = await get(gateway.public_address, client_context(ca), "*", method="OPTIONS")
        assert answer.startswith("HTTP/1.1 200 ")
        assert answer.count(line) == 1
        reader, writer = await asyncio.open_connection(*gateway.public_address.split(":"))
        writer.write(b"GET /me HTTP/1.1\r\n\r\n")
        assert b"Strict-Transport-Security" not in await reader.read()
        writer.close()
