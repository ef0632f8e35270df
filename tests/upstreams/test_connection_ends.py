"""A response that ends at every one of its bytes, in order or by a reset: it is whole for the client only if it is."""

from __future__ import annotations

import pytest

from tests.fuzz_responses import Bench, Script, check, read
from tests.harness import plane

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: x\r\n\r\n",
    "until-close": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello",
    "http-1-0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "interim": b"HTTP/1.1 103 x\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("name", RESPONSES)
async def test_response_that_ends_anywhere_is_never_a_truncated_success(
    name: str, then: str
) -> None:
    raw = RESPONSES[name]
    bench = Bench()
    async with plane(bench.serve) as held:
        for size in range(len(raw) + 1):
            for pieces in ((raw[:size],), (raw[: size // 2], raw[size // 2 : size])):
                wrong = await check(held, bench, Script("GET", pieces, then))
                assert not wrong, f"{raw[:size]!r}: {wrong}"


@pytest.mark.parametrize("name", RESPONSES)
async def test_response_in_two_pieces_cut_anywhere_is_whole(name: str) -> None:
    raw = RESPONSES[name]
    bench = Bench()
    async with plane(bench.serve) as held:
        then = "keep" if read(raw, "GET", ends=False).is_whole else "close"
        for size in range(len(raw) + 1):
            played = Script("GET", (raw[:size], raw[size:]), then)
            wrong = await check(held, bench, played, must_arrive=True)
            assert not wrong, f"{raw[:size]!r}: {wrong}"
