"""One request and its response: bodies, interruptions and what is recorded of them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.denial import Reason
from gateway.listeners.exchange import EARLY_BYTES_MAX
from gateway.listeners.public import ListenerSettings
from tests.harness import FORMAT, plane, post, request
from tests.wire import OK, Asked, Backend, answering, echo, keeping, read_request, silent, until

CHUNKED = "Transfer-Encoding: chunked"


# ---- 100-continue


async def test_continue_is_sent_once_the_upstream_is_connected_and_the_body_follows() -> None:
    async with plane(echo) as held:
        client = await held.send(post("Expect: 100-continue", "Content-Length: 4"))
        assert (await client.answer()).status == 100
        assert held.target.connections == 1
        client.send(b"body")
        assert (await client.answer()).body == b"body"
        outcome = await held.outcome()
        assert (outcome.status, outcome.request_bytes) == (200, 4)


async def test_continue_is_not_sent_to_a_client_that_did_not_wait() -> None:
    async with plane(echo) as held:
        client = await held.send(post("Expect: 100-continue", "Content-Length: 4", body=b"body"))
        assert (await client.answer()).status == 200


async def test_expectation_of_http_10_is_ignored() -> None:
    async with plane(echo) as held:
        raw = post("Expect: 100-continue", "Content-Length: 4").replace(b"HTTP/1.1", b"HTTP/1.0")
        client = await held.send(raw)
        client.send(b"body")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (post("Expect: 100-continue", "Content-Length: 4", token=None), 401),
        (post("Expect: 100-continue", "Content-Length: 11", target="/small"), 413),
        (post("Expect: 100-continue", "Content-Length: 4", target="/nowhere"), 404),
    ],
)
async def test_refused_expectation_gets_no_continue_and_the_connection_closes(
    raw: bytes, status: int
) -> None:
    async with plane(echo) as held:
        client = await held.send(raw)
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert await client.until_closed() == b""
        assert not held.seen
        assert (await held.outcome()).status == status


async def test_expectation_with_the_upstream_down_gets_502_and_no_continue() -> None:
    async with plane(echo) as held:
        target = held.target.address
        object.__setattr__(target, "port", 1)
        client = await held.send(post("Expect: 100-continue", "Content-Length: 4"))
        assert (await client.answer()).status == 502
        assert (await held.outcome()).reason is Reason.UPSTREAM_UNREACHABLE


# ---- refused bodies


async def test_rest_of_a_small_refused_body_is_read_past_and_the_connection_kept() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(post("Content-Length: 60000", target="/none"))
        answer = await client.answer()
        assert (answer.status, "connection" in answer.fields) == (404, False)
        client.send(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 59982 + request(close=False))
        assert (await client.answer()).body == b"hello"
        assert [o.status for o in await held.recorded.first(2)] == [404, 200]


async def test_refused_body_that_filled_the_early_buffer_is_still_read_past() -> None:
    """Its first bytes stopped reading while the key was looked up; the refusal has to start it again."""
    async with plane(answering(OK)) as held:
        unknown = FORMAT.mint("live", "C" * 43)
        fields = [f"Content-Length: {EARLY_BYTES_MAX * 2}"]
        head = request("/v1", method="POST", token=unknown, fields=fields, close=False)
        client = await held.client()
        client.send(head + b"x" * (EARLY_BYTES_MAX + 1))
        answer = await client.answer()
        assert (answer.status, "connection" in answer.fields) == (401, False)
        client.send(b"x" * (EARLY_BYTES_MAX - 1) + request(close=False))
        assert (await client.answer()).status == 200


async def test_large_refused_body_closes_the_connection() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(post("Content-Length: 1000000", target="/none"))
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (404, "close")
        client.send(b"x" * 1000000)
        assert await client.until_closed() == b""
        client.close()
        await held.settled()


async def test_refused_body_that_never_comes_ends_the_connection() -> None:
    settings = ListenerSettings(body_timeout_seconds=0.1)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(post("Content-Length: 10", target="/none"))
        assert (await client.answer()).status == 404
        assert await client.until_closed() == b""
        assert (await held.outcome()).ended == "complete"


# ---- bodies to the upstream


async def test_chunked_body_is_framed_anew_for_the_upstream() -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received)) as held:
        client = await held.send(post(CHUNKED))
        client.send(b"000005;ext=1\r\nhel")
        await until(lambda: b"".join(received).endswith(b"hel\r\n"))
        client.send(b"lo\r\n0\r\nX-Late: x\r\n\r\n")
        await until(lambda: b"".join(received).endswith(b"0\r\n\r\n"))
        assert b"".join(received) == b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        assert asked[0].fields["transfer-encoding"] == "chunked"
        assert "content-length" not in asked[0].fields


async def test_body_that_comes_with_the_head_reaches_the_upstream_whole() -> None:
    async with plane(echo) as held:
        raw = post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n") + post(
            "Content-Length: 3", body=b"abc"
        )
        client = await held.send(raw)
        assert (await client.answer()).body == b"hello"
        assert (await client.answer()).body == b"abc"
        assert [o.request_bytes for o in await held.recorded.first(2)] == [5, 3]


async def test_malformed_chunk_midway_is_answered_400_and_never_ends_the_upstream_message() -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received)) as held:
        client = await held.send(post(CHUNKED, body=b"5\r\nhello\r\n"))
        await until(lambda: bool(received))
        client.send(b"zz\r\n" + request())
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        assert await client.until_closed() == b""
        await until(lambda: held.target.connections == 0)
        assert b"0\r\n\r\n" not in b"".join(received)
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (400, Reason.INVALID_REQUEST)


async def test_body_that_is_malformed_from_the_start_never_reaches_the_upstream() -> None:
    async with plane(answering(OK)) as held:
        assert (await held.answer(post(CHUNKED, body=b"zz\r\n"))).status == 400
        assert not held.seen
        assert (await held.outcome()).reason is Reason.INVALID_REQUEST


async def test_announced_body_that_is_too_large_is_refused_before_any_contact() -> None:
    async with plane(echo) as held:
        assert (await held.answer(post("Content-Length: 11", target="/small"))).status == 413
        assert not held.seen
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (413, Reason.BODY_TOO_LARGE)


async def test_chunked_body_is_cut_where_it_becomes_too_large() -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received)) as held:
        client = await held.send(post(CHUNKED, target="/small", body=b"a\r\n0123456789\r\n"))
        await until(lambda: bool(received))
        client.send(b"1\r\nx\r\n")
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (413, "close")
        await until(lambda: received[-1] == b"EOF")
        assert b"".join(received[:-1]) == b"a\r\n0123456789\r\n"
        assert (await held.outcome()).reason is Reason.BODY_TOO_LARGE


async def test_chunked_body_that_is_too_large_at_once_leaves_no_trace_upstream() -> None:
    seen: list[bytes] = []
    async with plane(answering(OK, seen=seen)) as held:
        answer = await held.answer(post(CHUNKED, target="/small", body=b"b\r\n01234567890\r\n"))
        assert answer.status == 413
        assert held.target.idle_connections == 1  # as good as new
        assert (await held.answer(request("/v1"))).status == 200
        assert len(seen) == 1


async def test_body_that_stalls_is_answered_408() -> None:
    settings = ListenerSettings(body_timeout_seconds=0.1)
    async with plane(silent, settings=settings) as held:
        client = await held.send(post("Content-Length: 10", body=b"abc"))
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (408, "close")
        outcome = await held.outcome()
        assert (outcome.reason, outcome.request_bytes) == (Reason.REQUEST_TIMEOUT, 3)
        await until(lambda: held.target.connections == 0)


async def test_slow_but_steady_body_is_not_timed_out() -> None:
    settings = ListenerSettings(body_timeout_seconds=0.2)
    async with plane(echo, settings=settings) as held:
        client = await held.send(post("Content-Length: 30"))
        for _ in range(30):
            client.send(b"x")
            await asyncio.sleep(0.015)
        assert (await client.answer()).body == b"x" * 30


# ---- answers before the request has ended


def early(response: bytes, *, closes: bool = False) -> Backend:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response)
        if not closes:
            while await reader.read(65536):
                pass

    return backend


async def test_answer_before_the_body_has_ended_keeps_the_client_but_not_the_upstream() -> None:
    async with plane(early(OK)) as held:
        client = await held.send(post("Content-Length: 10", body=b"abc"))
        assert (await client.answer()).status == 200
        await until(lambda: held.target.connections == 0)
        client.send(b"defghij" + request("/nowhere", close=False))
        assert (await client.answer()).status == 404
        assert (await held.recorded.first(2))[0].ended == "complete"


async def test_answer_before_a_large_body_closes_the_connection() -> None:
    async with plane(early(OK)) as held:
        client = await held.send(post("Content-Length: 1000000", body=b"abc"))
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        await client.until_closed()
        client.close()
        await held.settled()


async def test_body_goes_on_while_the_answer_has_begun() -> None:
    async def conversing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            data = await reader.readexactly(1)
            writer.write(b"1\r\n" + data.upper() + b"\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with plane(conversing) as held:
        client = await held.send(post("Content-Length: 3"))
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        for letter in (b"a", b"b", b"c"):
            client.send(letter)
            assert await client.reader.readexactly(6) == b"1\r\n" + letter.upper() + b"\r\n"
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        outcome = await held.outcome()
        assert (outcome.request_bytes, outcome.response_bytes, outcome.ended) == (3, 3, "complete")


async def test_body_that_turns_out_malformed_breaks_off_an_answer_that_has_begun() -> None:
    async def conversing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await reader.read()

    async with plane(conversing) as held:
        client = await held.send(post(CHUNKED))
        await client.reader.readuntil(b"a\r\n")
        client.send(b"zz\r\n")
        assert await client.until_closed() == b""
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (200, "client_gone")
        await held.settled()
