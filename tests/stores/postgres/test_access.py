"""Who is believed to be the database, and who is let in."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from gateway.domain.database_address import read_address
from gateway.ports import StoreUnavailable
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.database import Database
from tests.certificates import Issued, authority, issue, trust
from tests.postgres import Server, running


@dataclass
class Secured:
    """A server that speaks TLS, asks for passwords, and for certificates of one of its users."""

    server: Server
    ca: Path
    other_ca: Path
    client: Issued

    def url(self, host: str = "localhost", mode: str = "", user: str = "toll:s%40cret") -> str:
        address = f"postgresql://{user}@{host}:{self.server.port}/postgres"
        return f"{address}?sslmode={mode}" if mode else address


_RULES = """
local   all all                    trust
hostssl all certified 127.0.0.1/32 cert clientcert=verify-full
hostssl all all       127.0.0.1/32 scram-sha-256
hostnossl all clear   127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        ca, other = authority(), authority("Somebody else")
        ca_file, other_file = trust(folder, ca), trust(folder, other, "other.pem")
        pair = issue(folder, ca, "localhost")
        client = issue(folder, ca, file="client", common_name="certified")

        def prepare(data: Path) -> None:
            for source, target in (
                (pair.certificate, "server.crt"),
                (pair.key, "server.key"),
                (ca_file, "root.crt"),
            ):
                shutil.copy(source, data / target)
                shutil.chown(data / target, data.owner())
                (data / target).chmod(0o600)
            (data / "pg_hba.conf").write_text(_RULES)

        with running(prepare, with_tls=True, ssl="on", ssl_ca_file="root.crt") as server:
            asyncio.run(_make_users(server))
            yield Secured(server, ca_file, other_file, client)


async def _make_users(server: Server) -> None:
    connection = await asyncpg.connect(
        host=str(server.folder), port=server.port, user="postgres", database="postgres"
    )
    await connection.execute("CREATE ROLE toll LOGIN PASSWORD 's@cret'")
    await connection.execute("CREATE ROLE certified LOGIN")
    await connection.execute("CREATE ROLE clear LOGIN")
    await connection.close()


async def is_encrypted(access: Access) -> bool:
    database = Database(access, 1)
    try:
        rows = await database.ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return bool(rows[0][0])
    finally:
        await database.close()
        await asyncio.sleep(0.05)  # in which the socket of a refused handshake is closed


async def test_a_server_that_proves_its_name_is_believed(secured: Secured) -> None:
    url = secured.url(mode="verify-full")
    assert await is_encrypted(Access(address=read_address(url), ca=secured.ca))
    assert await is_encrypted(Access(address=read_address(secured.url()), ca=secured.ca))


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
async def test_a_server_that_another_authority_vouches_for_is_not_believed(
    secured: Secured, mode: str
) -> None:
    access = Access(address=read_address(secured.url(mode=mode)), ca=secured.other_ca)
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        await is_encrypted(access)


async def test_a_server_with_another_name_is_believed_only_if_the_address_says_so(
    secured: Secured,
) -> None:
    by_number = secured.url("127.0.0.1", "verify-full")
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        await is_encrypted(Access(address=read_address(by_number), ca=secured.ca))
    for mode in ("verify-ca", "require"):
        url = secured.url("127.0.0.1", mode)
        assert await is_encrypted(Access(address=read_address(url), ca=secured.ca))


async def test_beyond_this_machine_nothing_goes_in_clear_unless_the_address_says_so(
    secured: Secured,
) -> None:
    remote = read_address("postgresql://u@db.example/d")
    assert Access(address=remote)._tls() is not None
    assert (
        Access(address=read_address("postgresql://u@db.example/d?sslmode=disable"))._tls() is None
    )
    assert Access(address=read_address("postgresql://u@localhost/d"))._tls() is None
    clear = secured.url("127.0.0.1", user="clear")
    assert not await is_encrypted(Access(address=read_address(clear)))


async def test_a_server_that_speaks_no_tls_is_not_spoken_to_in_clear(secured: Secured) -> None:
    with running() as plain:
        url = plain.url().replace("127.0.0.1", "localhost") + "?sslmode=require"
        with pytest.raises(StoreUnavailable, match="rejected SSL"):
            await is_encrypted(Access(address=read_address(url)))


async def test_a_gateway_that_shows_a_certificate_needs_no_password(secured: Secured) -> None:
    url = secured.url(user="certified", mode="verify-full")
    files = secured.client
    access = Access(
        address=read_address(url), ca=secured.ca, certificate=files.certificate, key=files.key
    )
    assert await is_encrypted(access)
    with pytest.raises(StoreUnavailable, match="certificate"):
        await is_encrypted(Access(address=read_address(url), ca=secured.ca))


async def test_a_wrong_password_is_told_without_it(secured: Secured) -> None:
    url = secured.url(user="toll:hunter2", mode="verify-full")
    with pytest.raises(StoreUnavailable, match="password authentication failed") as caught:
        await is_encrypted(Access(address=read_address(url), ca=secured.ca))
    assert "hunter2" not in str(caught.value)


async def test_the_password_may_stand_in_a_file_of_its_own(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "pgpass"
    passwords.write_text("localhost:*:*:toll:s@cret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    url = secured.url(user="toll", mode="verify-full")
    assert await is_encrypted(Access(address=read_address(url), ca=secured.ca))


async def test_of_several_hosts_one_that_is_no_standby_is_taken(secured: Secured) -> None:
    port = secured.server.port
    url = f"postgresql://toll:s%40cret@localhost:1,localhost:{port}/postgres?sslmode=verify-full"
    assert await is_encrypted(Access(address=read_address(url), ca=secured.ca))


async def test_a_file_that_is_not_there_is_an_outage_by_name(
    secured: Secured, tmp_path: Path
) -> None:
    access = Access(address=read_address(secured.url()), ca=tmp_path / "nothing.pem")
    with pytest.raises(StoreUnavailable, match="No such file"):
        await is_encrypted(access)
