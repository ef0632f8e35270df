"""From the section of an upstream to where its targets are and what watches them."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import pytest

from gateway.assembly.errors import CannotStart
from gateway.assembly.reach import addresses
from gateway.upstreams.target import Address
from tests.assembly.serving import ask, serving
from tests.certificates import authority, issue, trust
from tests.config.sample import loaded
from tests.wire import OK, answering, read_request, until


def made(folder: Path, upstream: str) -> list[Address]:
    config = loaded(folder, f"upstreams: {{u: {{{upstream}}}}}\n")
    return list(addresses("u", config.upstreams["u"], folder / "config.yaml"))


def test_each_spelling_of_a_target_becomes_its_address(tmp_path: Path) -> None:
    spelt = "targets: ['http://10.0.0.1/b/', 'http://[::1]:81/b', 'http+unix:/run/app.sock:/b']"
    assert made(tmp_path, spelt) == [
        Address(host="10.0.0.1", port=80, authority="10.0.0.1"),
        Address(host="::1", port=81, authority="[::1]:81"),
        Address(unix_path="/run/app.sock", authority="localhost"),
    ]


def test_targets_over_tls_share_what_is_trusted_and_a_socket_needs_none(tmp_path: Path) -> None:
    trust(tmp_path, authority())
    tls = "tls: {ca: ca.pem, server_name: jobs.test, minimum_version: '1.3'}"
    one, other, unix = made(
        tmp_path, f"targets: ['https://a', 'https://b:8443', 'http+unix:/c'], {tls}"
    )
    assert (one.port, other.port, one.server_name) == (443, 8443, "jobs.test")
    assert one.tls is other.tls
    assert one.tls is not None
    assert one.tls.minimum_version is ssl.TLSVersion.TLSv1_3
    assert len(one.tls.get_ca_certs()) == 1
    assert unix.tls is None


def test_unverified_certificates_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (address,) = made(tmp_path, "targets: ['https://a'], tls: {insecure_skip_verify: true}")
    assert address.tls is not None
    assert address.tls.verify_mode is ssl.CERT_NONE
    assert "upstream u: certificates are not verified" in caplog.text


def test_certificate_that_became_unusable_since_the_check_is_told(tmp_path: Path) -> None:
    issue(tmp_path, authority(), "gateway.test")
    text = "targets: ['https://a'], tls: {certificate: server.pem, key: server.key}"
    config = loaded(tmp_path, f"upstreams: {{u: {{{text}}}}}\n")
    (tmp_path / "server.key").write_text("")
    with pytest.raises(CannotStart, match=r"^upstreams\.u\.tls: "):
        addresses("u", config.upstreams["u"], tmp_path / "config.yaml")


async def test_upstreams_are_watched_while_the_gateway_is_open(tmp_path: Path) -> None:
    asked: list[str] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await read_request(reader)).fields["host"])
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(backend, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = (
            f"upstreams: {{u: {{targets: ['http://127.0.0.1:{port}'], host: jobs.test,\n"
            "  health: {active: {path: /health, interval: 100ms, timeout: 100ms}}}}\n"
            "routes: [{name: jobs, match: {prefix: /}, auth: none, upstream: u}]\n"
        )
        async with serving(tmp_path, text) as gateway:
            await until(lambda: len(asked) > 2)
            metrics = await ask(gateway.metrics_address, "/metrics")
            text = metrics.body.decode()
            assert 'tollhouse_upstream_probes_total{outcome="body",upstream="u"} 0' in text
        assert set(asked) == {"jobs.test"}
        probes = len(asked)
        await asyncio.sleep(0.3)
        assert len(asked) == probes


async def test_names_become_their_addresses_while_the_gateway_is_open(tmp_path: Path) -> None:
    async with await asyncio.start_server(_serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = (
            f"upstreams: {{u: {{targets: ['http://localhost:{port}']}}}}\n"
            "routes: [{name: jobs, match: {prefix: /}, auth: none, upstream: u}]\n"
        )
        async with serving(tmp_path, text) as gateway:
            service = gateway.here.services["u"]
            await until(lambda: [t.label for t in service.targets] == [f"127.0.0.1:{port}"])
            assert (await ask(gateway.public_address, "/")).body == b"hello"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await answering(OK)(reader, writer)
    except asyncio.IncompleteReadError:
        writer.close()
