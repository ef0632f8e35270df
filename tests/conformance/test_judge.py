"""The judge has teeth: a proxy that reads nothing fails, and so does every single difference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.conformance.backend import Backend, Heard, describe
from tests.conformance.case import Case, Passed, Refused, Story
from tests.conformance.cases.words import case, get
from tests.conformance.corpus import GROUPS
from tests.conformance.driver import PROBE, Seen, Subject, run
from tests.conformance.judge import judge
from tests.conformance.reading import read_requests

REFUSED: Story = (Refused(statuses=frozenset({400}), closes=True),)
PASSED: Story = (Passed(target=b"/v1/case"),)
NO = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def blind_relay() -> AsyncIterator[Subject]:
    """Run a proxy that passes every byte on as it came."""
    backend = Backend()
    await backend.start()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", backend.port)
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Subject("relay", server.sockets[0].getsockname()[1], backend, 0.02, 0.02)
    finally:
        server.close()
        await backend.stop()


@pytest.mark.parametrize("name", ["te-cl", "chunk-sizes", "content-length-malformed", "method"])
async def test_a_proxy_that_reads_nothing_fails_what_is_malformed(name: str) -> None:
    (group,) = (group for group in GROUPS if group.name == name)
    malformed = [one for one in group.cases if all(_is_refusal(story) for story in one.accepts)]
    assert malformed
    async with blind_relay() as subject:
        for one in malformed[:12]:
            assert judge(one, await run(one, subject)), one.id


def _is_refusal(story: Story) -> bool:
    return isinstance(story[0], Refused)


ASKED = case("x", "why", get(), PASSED)
FORWARDED = get()


def answer_to(raw: bytes, serial: int) -> bytes:
    body = describe(read_requests(raw)[0])
    return b"HTTP/1.1 200 OK\r\nX-Conformance-Serial: %d\r\nContent-Length: %d\r\n\r\n%b" % (
        serial, len(body), body,
    )  # fmt: skip


def seen(received: bytes, *heard: bytes, ended: bool = True) -> Seen:
    connections = [Heard(data, [number + 1]) for number, data in enumerate(heard)]
    return Seen(received, ended, connections, [b"GET"])


BOTH = answer_to(FORWARDED, 1) + answer_to(PROBE, 2)


def test_what_was_asked_and_answered_is_accepted() -> None:
    assert judge(ASKED, seen(BOTH, FORWARDED, PROBE)) == ""


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (seen(BOTH, FORWARDED, PROBE, ended=False), "not ended"),
        (seen(answer_to(FORWARDED, 1), FORWARDED), "before the end"),
        (seen(BOTH, FORWARDED), "no such request"),
        (seen(BOTH, FORWARDED, PROBE, PROBE), "too many"),
        (seen(BOTH, FORWARDED, PROBE, b"GET /v1/x HT"), "beginning of a request"),
        (seen(BOTH, FORWARDED.replace(b"/v1/case", b"/v1/cas"), PROBE), "target"),
        (seen(BOTH, FORWARDED.replace(b"GET", b"PUT"), PROBE), "method"),
        (seen(answer_to(PROBE, 1) + answer_to(FORWARDED, 2), FORWARDED, PROBE), "another request"),
        (seen(BOTH[:-3], FORWARDED, PROBE), "not whole"),
        (seen(b"garbage\n\r\n\r\n" + BOTH, FORWARDED, PROBE), "malformed response"),
        (seen(BOTH, FORWARDED.replace(b"\r\n", b"\n"), PROBE), "no request"),
        (seen(NO, FORWARDED), "not the backend's answer"),
    ],
)
def test_every_difference_is_found(what: Seen, why: str) -> None:
    assert why in judge(ASKED, what)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (seen(NO, ended=False), "not ended"),
        (seen(NO, FORWARDED), "too many"),
        (seen(NO, b"GET / HTTP"), "beginning of a request"),
        (seen(NO + answer_to(PROBE, 1), PROBE), "one response too many"),
        (seen(b""), "no response"),
        (seen(BOTH, FORWARDED, PROBE), "the status is 200"),
    ],
)
def test_a_refusal_is_one_answer_and_nothing_else(what: Seen, why: str) -> None:
    refusing: Case = case("x", "why", get(), REFUSED)
    assert judge(refusing, seen(NO)) == ""
    assert why in judge(refusing, what)
