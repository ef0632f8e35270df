"""TLS on connections: the handshake, its bounds, and what it settles."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.listeners.certificates import HandshakeRules, Terms, read_certificate
from gateway.listeners.public import ListenerSettings
from tests.certificates import Issued, authority, client_context, issue
from tests.harness import Plane, plane, post, request
from tests.raw_tls import RawTls
from tests.wire import OK, answering, until

MIB = 2**20


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture(scope="module")
def files(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("tls"), ca, "api.test", file="api.test")


@pytest.fixture
def client(ca: trustme.CA) -> ssl.SSLContext:
    return client_context(ca)


@pytest.fixture
def terms(files: Issued) -> Terms:
    return made(files)


def made(*files: Issued, rules: HandshakeRules | None = None) -> Terms:
    rules = rules or HandshakeRules()
    return Terms([read_certificate(each.certificate, each.key, rules) for each in files], rules)


# ---- requests


async def test_requests_are_answered_over_tls_and_the_upstream_is_told(
    terms: Terms, client: ssl.SSLContext
) -> None:
    seen: list[bytes] = []
    async with plane(answering(OK, seen=seen), terms=terms) as held:
        connection = await held.client(client)
        for _ in range(2):
            connection.send(request(close=False))
            assert (await connection.answer()).body == b"hello"
        connection.send(request())
        assert (await connection.answer()).status == 200
        assert await connection.until_closed() == b""
        assert all(b"\r\nX-Forwarded-Proto: https\r\n" in head for head in seen)
        assert held.handshakes == {"full": 1}
        await held.settled()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_bytes_may_come_one_by_one(
    terms: Terms, client: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client.minimum_version = client.maximum_version = version
    async with plane(answering(OK), terms=terms) as held:
        raw = await held.raw_tls(client)
        for byte in raw.hello():
            raw.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await raw.shake()
        raw.tls.write(request())
        for byte in raw.outgoing.read():
            raw.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        answer, end = await raw.until_end()
        assert answer.endswith(b"hello")
        assert end == "close_notify"


async def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(
    terms: Terms, client: ssl.SSLContext
) -> None:
    async with plane(answering(OK), terms=terms) as held:
        raw = await held.raw_tls(client)
        raw.writer.write(raw.hello())
        while True:
            raw.incoming.write(await raw.reader.read(65536))
            try:
                raw.tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        raw.tls.write(request(close=False))
        raw.tls.write(request())
        raw.flush()  # Finished and both requests in one segment
        answer, end = await raw.until_end()
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert end == "close_notify"


# ---- the handshake


@pytest.mark.parametrize(
    "greeting", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"P"]
)
async def test_http_without_tls_is_answered_in_clear_and_closed(
    terms: Terms, greeting: bytes
) -> None:
    async with plane(answering(OK), terms=terms) as held:
        answer = await held.ask(greeting)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.endswith(b"\r\n\r\nThis port speaks HTTPS.\n")
        assert b"Strict-Transport-Security" not in answer
        assert held.handshakes == {"plain_http": 1}
        assert not held.recorded.outcomes
        await held.settled()


@pytest.mark.parametrize("noise", [b"\x00\x01", b"\x80\x2e\x01\x00\x02", b"\xff" * 100])
async def test_noise_is_not_answered(terms: Terms, noise: bytes) -> None:
    async with plane(answering(OK), terms=terms) as held:
        assert await held.ask(noise) == b""
        assert held.handshakes == {"not_tls": 1}


async def test_a_broken_handshake_ends_with_an_alert(terms: Terms) -> None:
    async with plane(answering(OK), terms=terms) as held:
        answer = await held.ask(b"\x16\x03\x01\x00\x05hello")
        assert answer[:1] == b"\x15"  # an alert
        assert sum(held.handshakes.values()) == 1
        assert not set(held.handshakes) & {"full", "resumed"}


async def test_a_silent_or_slow_handshake_is_cut_in_time(
    files: Issued, client: ssl.SSLContext
) -> None:
    terms = made(files, rules=HandshakeRules(timeout_seconds=0.2))
    async with plane(answering(OK), terms=terms) as held:
        assert await held.ask(b"") == b""
        raw = await held.raw_tls(client)
        hello = raw.hello()
        assert await held.ask(hello[:50]) == b""
        assert (await held.ask(hello))[:1] == b"\x16"  # our part of it, and no more
        assert await raw.reader.read() == b""
        assert held.handshakes == {"timeout": 4}
        await held.settled()


async def test_the_time_of_a_head_bounds_the_handshake_too(terms: Terms) -> None:
    settings = ListenerSettings(head_timeout_seconds=0.2)
    async with plane(answering(OK), terms=terms, settings=settings) as held:
        assert await held.ask(b"\x16") == b""
        assert held.handshakes == {"timeout": 1}


async def test_handshakes_under_way_are_bounded(files: Issued, client: ssl.SSLContext) -> None:
    terms = made(files, rules=HandshakeRules(handshakes_max=2))
    async with plane(answering(OK), terms=terms) as held:
        assert held.tls is not None
        open_ones = []
        for _ in range(3):
            open_ones.append(await held.client(client))
            await until(lambda: held.handshakes["full"] == len(open_ones))  # not under way any more
        idle = [await held.client() for _ in range(2)]
        await until(lambda: held.tls is not None and held.tls.handshakes == 2)
        assert await held.ask(b"\x16") == b""
        assert held.handshakes["too_many"] == 1
        open_ones[0].send(request())
        assert (await open_ones[0].answer()).status == 200
        idle[0].close()
        await until(lambda: held.tls is not None and held.tls.handshakes == 1)
        assert held.handshakes["closed"] == 1
        await held.client(client)


async def test_a_connection_over_the_limit_gets_no_handshake(
    terms: Terms, client: ssl.SSLContext
) -> None:
    settings = ListenerSettings(connections_max=1)
    async with plane(answering(OK), terms=terms, settings=settings) as held:
        await held.client(client)
        assert await held.ask(b"\x16\x03\x01") == b""
        await until(lambda: held.handshakes == {"full": 1, "refused": 1})


async def test_a_client_that_resets_amid_the_handshake_is_counted(
    terms: Terms, client: ssl.SSLContext
) -> None:
    async with plane(answering(OK), terms=terms) as held:
        raw = await held.raw_tls(client)
        raw.writer.write(raw.hello())
        await raw.reader.read(100)
        held.clients[-1].reset()
        await until(lambda: held.handshakes["closed"] == 1)
        await held.settled()


async def test_many_handshakes_at_once_all_get_their_turn(
    terms: Terms, client: ssl.SSLContext
) -> None:
    async with plane(answering(OK), terms=terms) as held:
        await asyncio.gather(*(held.client(client) for _ in range(50)))
        await until(lambda: held.handshakes["full"] == 50)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_resumed_by_tickets(
    terms: Terms, client: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client.minimum_version = client.maximum_version = version
    async with plane(answering(OK), terms=terms) as held:
        first = await held.raw_tls(client)
        await first.shake()
        first.send(request())
        await first.until_end()
        second = await held.raw_tls(client, session=first.tls.session)
        await second.shake()
        assert second.tls.session_reused
        await until(lambda: held.handshakes.total() == 2)
        assert held.handshakes == {"full": 1, "resumed": 1}


async def test_a_drain_ends_handshakes_too(terms: Terms) -> None:
    async with plane(answering(OK), terms=terms) as held:
        waiting = await held.send(b"\x16")
        await until(lambda: held.listener.connections == 1)
        await held.listener.drain(5)
        assert await waiting.until_closed() == b""
        assert held.handshakes.total() == 1


# ---- behind a PROXY header

HEADER = b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 443\r\n"
PROXIED = ListenerSettings(proxy_protocol=True)
TRUSTED = ["127.0.0.0/8"]


async def proxied(held: Plane, client: ssl.SSLContext, at: int) -> None:
    """Send the PROXY header and the ClientHello cut in two at `at`."""
    raw = await held.raw_tls(client)
    whole = HEADER + raw.hello()
    raw.writer.write(whole[:at])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    raw.writer.write(whole[at:])
    await raw.shake()
    raw.send(request())
    answer, end = await raw.until_end()
    assert answer.endswith(b"hello")
    assert end == "close_notify"


async def test_the_header_stands_in_clear_before_the_handshake_however_both_are_cut(
    terms: Terms, client: ssl.SSLContext
) -> None:
    seen: list[bytes] = []
    async with plane(
        answering(OK, seen=seen), terms=terms, settings=PROXIED, trusted=TRUSTED
    ) as held:
        length = len(HEADER) + len((await held.raw_tls(client)).hello())
        cuts = [0, *range(1, len(HEADER) + 8), *range(len(HEADER) + 8, length, 37)]
        for at in cuts:
            await proxied(held, client, at)
        outcomes = await held.recorded.first(len(cuts))
        assert {outcome.client_address for outcome in outcomes} == {"198.51.100.7"}
        assert b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n" in seen[0]


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01\x00\x05hello", request()])
async def test_without_the_header_nothing_is_read(
    terms: Terms, greeting: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with plane(answering(OK), terms=terms, settings=PROXIED, trusted=TRUSTED) as held:
        assert await held.ask(greeting) == b""
        assert "rejected" in caplog.text
        assert held.handshakes == {"refused": 1}


async def test_http_in_clear_behind_the_header_is_refused_as_ever(terms: Terms) -> None:
    async with plane(answering(OK), terms=terms, settings=PROXIED, trusted=TRUSTED) as held:
        assert (await held.ask(HEADER + request())).startswith(b"HTTP/1.1 400 ")
        assert held.handshakes == {"plain_http": 1}


# ---- for which host


async def test_a_request_for_another_certificates_host_is_misdirected(
    ca: trustme.CA, files: Issued, client: ssl.SSLContext, tmp_path: Path
) -> None:
    terms = made(files, issue(tmp_path, ca, "other.test", file="other.test"))
    async with plane(answering(OK), terms=terms) as held:
        connection = await held.client(client)
        connection.send(request(close=False))
        assert (await connection.answer()).status == 200
        connection.send(request(close=False).replace(b"api.test", b"other.test"))
        answer = await connection.answer()
        assert answer.status == 421
        assert await connection.until_closed() == b""
        _, refused = await held.recorded.first(2)
        assert str(refused.reason) == "misdirected_request"

        rightly = await held.client(client, "other.test")
        rightly.send(request().replace(b"api.test", b"other.test:8443"))
        assert (await rightly.answer()).status == 200


async def test_a_misdirected_body_never_reaches_anybody(
    ca: trustme.CA, files: Issued, client: ssl.SSLContext, tmp_path: Path
) -> None:
    terms = made(files, issue(tmp_path, ca, "other.test", file="other.test"))
    async with plane(answering(OK), terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(post("Content-Length: 5", body=b"hello").replace(b"api.test", b"other.test"))
        raw.send(request())
        answer, end = await raw.until_end()
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
        assert end == "close_notify"
        assert held.target.connections == 0


async def test_a_name_that_no_certificate_covers_is_refused_where_that_is_asked_for(
    files: Issued, ca: trustme.CA
) -> None:
    context = client_context(ca)
    context.check_hostname = False
    strict = made(files, rules=HandshakeRules(refuses_unknown_names=True))
    async with plane(answering(OK), terms=strict) as held:
        raw = await held.raw_tls(context, "unknown.test")
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await raw.shake()
        assert held.handshakes == {"unknown_name": 1}
        nameless = await held.raw_tls(context, None)
        await nameless.shake()
        nameless.send(request().replace(b"api.test", b"unknown.test"))
        assert (await nameless.until_end())[0].startswith(b"HTTP/1.1 421 ")
    async with plane(answering(OK), terms=made(files)) as held:
        unknown = await held.client(context, "unknown.test")
        unknown.send(request().replace(b"api.test", b"whatever.test"))
        assert (await unknown.answer()).status == 200


# ---- client certificates


def asking(ca: trustme.CA, folder: Path, mode: str) -> HandshakeRules:
    path = folder / "clients-ca.pem"
    ca.cert_pem.write_to_path(path)
    return HandshakeRules(
        client_mode="required" if mode == "required" else "optional",
        client_ca=path,
        subject_header=b"X-Subject",
        fingerprint_header=b"X-Gateway-Fingerprint",
    )


async def shake_and_read(raw: RawTls) -> None:
    """Shake hands, and read: a client of TLS 1.3 learns only then that its certificate was refused."""
    await raw.shake()
    await raw.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_required_client_certificate_is_demanded_and_verified(
    ca: trustme.CA, files: Issued, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    clients = authority()
    terms = made(files, rules=asking(clients, tmp_path, "required"))
    none, foreign = (
        client_context(ca),
        client_context(
            ca, issued=issue(tmp_path, authority(), file="foreign", common_name="foreign")
        ),
    )
    good = client_context(ca, issued=issue(tmp_path, clients, file="good", common_name="good"))
    for context in (none, foreign, good):
        context.minimum_version = context.maximum_version = version
    async with plane(answering(OK), terms=terms) as held:
        for context in (none, foreign):
            raw = await held.raw_tls(context)
            with pytest.raises((ssl.SSLError, EOFError)):
                await shake_and_read(raw)
        assert held.handshakes == {"client_certificate": 2}
        raw = await held.raw_tls(good)
        await raw.shake()
        raw.send(request())
        assert (await raw.until_end())[0].startswith(b"HTTP/1.1 200 OK")
        assert len(held.recorded.outcomes) == 1


async def test_the_upstream_is_told_about_a_verified_certificate_and_never_by_the_client(
    ca: trustme.CA, files: Issued, tmp_path: Path
) -> None:
    clients = authority()
    terms = made(files, rules=asking(clients, tmp_path, "optional"))
    identity = issue(tmp_path, clients, file="jobs", common_name="jobs, Inc.\r\nX: y")
    forged = ("X-Gateway-Fingerprint: 00", "x_gateway.fingerprint: 00")
    seen: list[bytes] = []
    async with plane(answering(OK, seen=seen), terms=terms) as held:
        for context in (client_context(ca, issued=identity), client_context(ca)):
            connection = await held.client(context)
            connection.send(request(fields=forged))
            assert (await connection.answer()).status == 200
    told, untold = seen
    assert b"\r\nX-Subject: CN=jobs\\, Inc.\\0D\\0AX: y," in told
    fingerprint = ssl.PEM_cert_to_DER_cert(identity.certificate.read_text().split("\n\n")[0])
    assert fingerprint
    assert told.lower().count(b"gateway-fingerprint: ") == 1
    assert b"X-Subject" not in untold
    assert b"fingerprint" not in untold.lower()


async def test_a_ticket_does_not_outlive_the_authority_of_the_client_certificate(
    ca: trustme.CA, files: Issued, tmp_path: Path
) -> None:
    clients = authority()
    terms = made(files, rules=asking(clients, tmp_path, "required"))
    context = client_context(ca, issued=issue(tmp_path, clients, file="good", common_name="good"))
    async with plane(answering(OK), terms=terms) as held:
        assert held.tls is not None
        first = await held.raw_tls(context)
        await first.shake()
        first.send(request(close=False))
        await first.until(b"hello")
        held.tls.terms = made(files, rules=asking(authority(), tmp_path, "required"))
        second = await held.raw_tls(context, session=first.tls.session)
        with pytest.raises((ssl.SSLError, EOFError)):
            await shake_and_read(second)
        assert held.handshakes == {"full": 1, "client_certificate": 1}
        first.send(request())  # the old connection goes on
        assert (await first.until_end())[0].startswith(b"HTTP/1.1 200 OK")


# ---- replacing certificates


async def test_new_terms_count_for_the_next_handshake_and_old_connections_go_on(
    ca: trustme.CA, files: Issued, client: ssl.SSLContext, tmp_path: Path
) -> None:
    async with plane(answering(OK), terms=made(files)) as held:
        assert held.tls is not None
        old = await held.raw_tls(client)
        await old.shake()
        half = await held.raw_tls(client)
        half.writer.write(half.hello())  # a handshake that began under the old terms
        await until(lambda: held.tls is not None and held.tls.handshakes == 1)
        new = issue(tmp_path, ca, "api.test", "new.test", file="api.test")
        held.tls.terms = made(new, rules=HandshakeRules(minimum_version=ssl.TLSVersion.TLSv1_3))
        await half.shake()
        fresh = await held.raw_tls(client, "new.test")
        await fresh.shake()
        for raw in (old, half, fresh):
            raw.send(request())
            assert (await raw.until_end())[0].startswith(b"HTTP/1.1 200 OK")
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        late = await held.raw_tls(client)
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await late.shake()
        assert held.handshakes == {"full": 3, "version": 1}
