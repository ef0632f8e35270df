"""A response that broke off looks broken to the clients that people use, whatever tells its length."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import requests

from tests.harness import Plane, plane
from tests.wire import answering, once

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"

WHOLE = {
    "length": LENGTH.replace(b"10", b"5"),
    "chunks": CHUNKS + b"0\r\n\r\n",
    "until-close": UNTIL_CLOSE,
}
BROKEN = {
    "length": (LENGTH, "close"),
    "length-reset": (LENGTH, "reset"),
    "chunks": (CHUNKS, "close"),
    "chunks-reset": (CHUNKS, "reset"),
    "until-close": (UNTIL_CLOSE, "reset"),
}

Fetch = Callable[[str], Coroutine[Any, Any, bool]]
"""Get a URL; tell whether the client takes the response for whole."""


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


async def run(*words: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        return await process.wait()


async def curl(url: str, *options: str) -> bool:
    status = await run(program("curl"), "-sf", "-o", "/dev/null", *options, url)
    assert status in {0, 18, 56}, "whole, transferred in part, or reset: nothing else"
    return status == 0


async def old_curl(url: str) -> bool:
    return await curl(url, "--http1.0")


async def python_requests(url: str) -> bool:
    try:
        answer = await asyncio.to_thread(requests.get, url, timeout=20)
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return False
    return answer.content == b"hello"


async def node_fetch(url: str) -> bool:
    script = (
        "fetch(process.argv[1]).then(r => r.text()).then(t => process.exit(t === 'hello' ? 0 : 2))"
    )
    return await run(program("node"), "-e", f"{script}.catch(() => process.exit(1))", url) == 0


FETCHES: list[Fetch] = [curl, old_curl, python_requests, node_fetch]


def url(held: Plane) -> str:
    assert isinstance(held.address, tuple)
    return f"http://127.0.0.1:{held.address[1]}/open"


@pytest.mark.parametrize("fetch", FETCHES)
@pytest.mark.parametrize("name", BROKEN)
async def test_broken_response_is_an_error_for_the_client(name: str, fetch: Fetch) -> None:
    response, then = BROKEN[name]
    async with plane(once(response, then=then)) as held:
        assert not await fetch(url(held))
        assert (await held.recorded.first(1))[0].ended == "upstream_broke"


@pytest.mark.parametrize("fetch", FETCHES)
@pytest.mark.parametrize("name", WHOLE)
async def test_whole_response_is_none(name: str, fetch: Fetch) -> None:
    backend = once(WHOLE[name]) if name == "until-close" else answering(WHOLE[name])
    async with plane(backend) as held:
        assert await fetch(url(held))
