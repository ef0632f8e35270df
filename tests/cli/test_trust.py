"""Whom a command believes when it speaks TLS to the admin listener."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.cli import keys
from gateway.cli.client import DONE, UNREACHABLE, WRONG_USAGE
from tests.certificates import Issued, authority, issue
from tests.keyring.house import House

TOKEN = "t" * 40


@contextmanager
def served(files: Issued, clients: trustme.CA | None = None) -> Iterator[str]:
    """Serve the admin API with TLS in a thread of its own; yield its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    is_ready = threading.Event()
    told: list[str] = []
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        keyring = House().keyring
        app = create_admin_app(lambda: keyring, token=lambda: TOKEN)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        told.append(f"127.0.0.1:{runner.addresses[0][1]}")
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        is_ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert is_ready.wait(10)
    try:
        yield told[0]
    finally:
        stops[0]()
        thread.join(10)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture
def files(ca: trustme.CA, tmp_path: Path) -> Issued:
    return issue(tmp_path, ca, "127.0.0.1", file="admin")


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLHOUSE_ADMIN_TOKEN", TOKEN)


def listed(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser(prog="tollhouse")
    keys.register(parser.add_subparsers(required=True))
    options = parser.parse_args(["keys", "list", *map(str, arguments)])
    status: int = options.run(options)
    return status


def configured(folder: Path, address: str, files: Issued, more: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(
        "version: 1\npeppers: {current: p, p: 0123456789abcdef0123456789abcdef}\n"
        f"listeners: {{admin: {{bind: '{address}', token: {TOKEN}, tls: {{certificates: "
        f"[{{certificate: {files.certificate.name}, key: {files.key.name}}}]{more}}}}}}}\n"
    )
    return path


def test_authorities_that_are_named_are_believed(files: Issued, ca_file: Path) -> None:
    with served(files) as address:
        assert listed("--admin", address, "--ca", ca_file) == DONE
        assert listed("--admin", f"https://{address}", "--ca", ca_file) == DONE


def test_nobody_else_is_believed(
    files: Issued, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.pem"
    authority().cert_pem.write_to_path(other)
    with served(files) as address:
        assert listed("--admin", address, "--ca", other) == UNREACHABLE
        assert listed("--admin", f"https://{address}") == UNREACHABLE  # the system's authorities
        assert listed("--admin", address) == UNREACHABLE  # in clear
    assert TOKEN not in capsys.readouterr().err


def test_the_name_that_was_called_has_to_be_the_certificate_s(
    ca: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    with served(issue(tmp_path, ca, "elsewhere.test", file="elsewhere.test")) as address:
        assert listed("--admin", address, "--ca", ca_file) == UNREACHABLE


def test_the_certificate_of_the_configuration_is_believed_under_any_name(
    ca: trustme.CA, tmp_path: Path
) -> None:
    files = issue(tmp_path, ca, "elsewhere.test", file="admin")
    with served(files) as address:
        path = configured(tmp_path, address, files)
        assert listed("--config", path) == DONE
    impostor = issue(tmp_path, ca, "127.0.0.1", file="impostor")
    with served(impostor) as address:
        assert listed("--config", configured(tmp_path, address, files)) == UNREACHABLE


def test_an_expired_certificate_is_not_believed(ca: trustme.CA, tmp_path: Path) -> None:
    files = issue(tmp_path, ca, "127.0.0.1", file="admin", valid_days=-1)
    with served(files) as address:
        assert listed("--config", configured(tmp_path, address, files)) == UNREACHABLE


def test_a_client_certificate_is_shown_where_it_is_asked_for(
    files: Issued, ca_file: Path, tmp_path: Path
) -> None:
    operators = authority()
    pair = issue(tmp_path, operators, file="operator", common_name="operator")
    identity = tmp_path / "operator-both.pem"
    identity.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    with served(files, operators) as address:
        assert listed("--admin", address, "--ca", ca_file) == UNREACHABLE
        assert listed("--admin", address, "--ca", ca_file, "--certificate", identity) == DONE
        path = configured(tmp_path, address, files)
        assert listed("--config", path, "--certificate", identity) == DONE


def test_files_and_addresses_that_make_no_sense_are_told(
    files: Issued, ca_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, junk = tmp_path / "missing.pem", tmp_path / "junk.pem"
    junk.write_text("hello")
    calls: dict[tuple[str | Path, ...], str] = {
        ("--admin", "127.0.0.1:1", "--ca", missing): f"--ca {missing}: No such file",
        ("--admin", "127.0.0.1:1", "--ca", junk): f"--ca {junk}: cannot be read as certificates",
        ("--admin", "127.0.0.1:1", "--ca", ca_file, "--certificate", junk): (
            f"--certificate {junk}: cannot be read"
        ),
        ("--admin", "unix:a.sock", "--ca", ca_file): "TLS is spoken over TCP only",
        ("--admin", "https://nonsense"): "--admin https://nonsense: must be",
    }
    for arguments, text in calls.items():
        assert listed(*arguments) == WRONG_USAGE
        assert text in capsys.readouterr().err
    assert listed("--config", configured(tmp_path, "unix:a", files)) == WRONG_USAGE
    assert "remove `listeners.admin.tls`" in capsys.readouterr().err
