"""How Redis is reached: credentials, TLS, sockets, sentinels; and that no password is ever told."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from gateway.config.model import Limits
from gateway.limiters.redis.dial import Dialer
from gateway.limiters.redis.link import hang_up
from gateway.ports import LimiterUnavailable
from tests.clock import FakeClock
from tests.contracts.limiter import claim, rate
from tests.limiters.redis.nodes import node, until
from tests.redis_server import Server, free_port, needed, own_server


def dialer(url: str, folder: Path = Path(), **section: Any) -> Dialer:
    return Dialer(Limits(url=SecretStr(url), **{"connect_timeout": 1.0, **section}), folder)


async def asked(found: Dialer) -> bytes:
    """Dial, ask who we are, hang up."""
    connection = await found.dial()
    await connection.send_command("PING", check_health=False)
    said: bytes = await connection.read_response(disable_decoding=True)
    await hang_up(connection)
    return said


async def test_a_password_and_a_database(tmp_path: Path) -> None:
    with own_server(tmp_path) as server:
        server.client.config_set("requirepass", "h@rd/er")
        url = f"redis://:h%40rd%2Fer@127.0.0.1:{server.port}/3"
        connection = await dialer(url).dial()
        await connection.send_command("CLIENT", "INFO", check_health=False)
        info = await connection.read_response()
        await hang_up(connection)
        assert b" db=3 " in info
        assert b" name=tollhouse " in info


async def test_a_wrong_password_is_named_as_such_and_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with own_server(tmp_path) as server, caplog.at_level(logging.DEBUG):
        server.client.config_set("requirepass", "right")
        found = dialer(f"redis://:sesame@127.0.0.1:{server.port}")
        with pytest.raises(LimiterUnavailable, match=r"(?i)password|auth") as caught:
            await found.dial()
        assert "sesame" not in f"{caught.value}{caught.value.__cause__}{found.place}{caplog.text}"


async def test_nobody_there() -> None:
    with pytest.raises(LimiterUnavailable):
        await dialer(f"redis://127.0.0.1:{free_port()}").dial()


async def test_somebody_who_does_not_speak(tmp_path: Path) -> None:
    with own_server(tmp_path) as server:
        server.freeze()
        with pytest.raises(LimiterUnavailable, match=r"no connection within 0\.1 s"):
            await dialer(server.url, connect_timeout=0.1).dial()
        server.thaw()


async def test_a_socket_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with own_server(tmp_path, "--unixsocket", str(path)):
        found = dialer(f"redis+unix://{path}")
        assert await asked(found) == b"PONG"
        assert found.place == str(path)


class Certificates:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        for name in ("127.0.0.1", "client"):
            made = authority.issue_cert(name)
            made.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
        trustme.CA().cert_pem.write_to_path(folder / "other.pem")


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[int, Certificates]]:
    """Run a Redis that speaks TLS and asks for certificates; skip when it was built without."""
    certificates, port = Certificates(tmp_path), free_port()
    needed()
    options = (
        *("--tls-port", str(port), "--tls-ca-cert-file", str(tmp_path / "ca.pem")),
        *("--tls-cert-file", str(tmp_path / "127.0.0.1.pem")),
        *("--tls-key-file", str(tmp_path / "127.0.0.1.pem")),
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(own_server(tmp_path, *options))
        except AssertionError as error:
            pytest.skip(f"this Redis speaks no TLS: {error}")
        yield port, certificates


async def test_tls_with_certificates_on_both_sides(secured: tuple[int, Certificates]) -> None:
    port, certificates = secured
    tls = {"ca": "ca.pem", "certificate": "client.pem"}
    found = dialer(f"rediss://127.0.0.1:{port}", certificates.folder, tls=tls)
    assert await asked(found) == b"PONG"


@pytest.mark.parametrize(
    "tls", [{"ca": "other.pem", "certificate": "client.pem"}, {"ca": "ca.pem"}, {}]
)
async def test_tls_that_proves_nothing_is_refused(
    secured: tuple[int, Certificates], tls: dict[str, str]
) -> None:
    port, certificates = secured
    found = dialer(f"rediss://127.0.0.1:{port}", certificates.folder, tls=tls)
    with pytest.raises(LimiterUnavailable):
        await asked(found)


# ---- sentinels


class Watched:
    """A master, a replica and a sentinel that makes the one of the other."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.master = stack.enter_context(own_server(folder))
        replica_of = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = stack.enter_context(own_server(folder, *replica_of))
        port = free_port()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor limits 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds limits 300\n"
            "sentinel failover-timeout limits 2000\n"
        )
        self.sentinel = _Sentinel(folder, port, config)
        self.sentinel.start()
        stack.callback(self.sentinel.close)

    def replicate(self) -> None:
        """Return when the replica has everything: WAIT waits only for what its own connection wrote."""
        with self.master.client.client() as connection:
            connection.set("written", "last")
            assert connection.wait(1, 5000) == 1


class _Sentinel(Server):
    """A sentinel: the same program in another mode, with a file that it writes to."""

    def __init__(self, folder: Path, port: int, config: Path) -> None:
        super().__init__(folder, port, program=needed())
        self._config = config

    def start(self) -> None:
        with (self.folder / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program, str(self._config), "--sentinel"], stdout=log, stderr=log
            )
        self.wait()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(tmp_path, stack)


async def test_a_sentinel_says_where_the_service_is(watched: Watched) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    sentinels = (nobody, f"127.0.0.1:{watched.sentinel.port}")
    found = dialer("redis://limits", sentinels=sentinels)
    connection = await found.dial()
    assert getattr(connection, "port", 0) == watched.master.port
    await hang_up(connection)


async def test_no_sentinel_knows_the_service(watched: Watched) -> None:
    sentinels = (f"127.0.0.1:{watched.sentinel.port}",)
    with pytest.raises(LimiterUnavailable, match="no sentinel knows 'others'"):
        await dialer("redis://others", sentinels=sentinels).dial()


@pytest.mark.slow
async def test_a_failover_costs_the_share_for_as_long_as_it_takes_and_counts_go_on(
    watched: Watched, prefix: str, clock: FakeClock
) -> None:
    """What was replicated before is known to the new master: nobody gets a burst again."""
    each = claim(rate(limit=60, burst=10))
    sentinels = (f"127.0.0.1:{watched.sentinel.port}",)
    replicated = watched.replica.client.info
    async with node("redis://limits", prefix, clock, sentinels=sentinels) as one:
        await until(lambda: replicated("replication")["master_link_status"] == "up")
        await until(lambda: int(watched.sentinel.client.info("sentinel")["sentinel_masters"]) == 1)
        masters = watched.sentinel.client.sentinel_master
        await until(lambda: int(masters("limits")["num-slaves"]) == 1, 30)
        assert await one.draw(20, each) == 10
        watched.replicate()
        watched.master.kill()
        await one.goes_away()
        during = await one.draw(20, each)
        assert during == 5
        await until(lambda: one.link.is_up, 40)
        assert replicated("replication")["role"] == "master"
        assert await one.draw(20, each) == 0
        clock.advance(10)
        assert await one.draw(20, each) == 10
