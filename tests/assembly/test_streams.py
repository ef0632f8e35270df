from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.domain.denial import Reason
from tests.assembly.serving import EDGE, add_tenant, ask, mint, serving
from tests.wire import once, until

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"8\r\ndata: 1\n\r\n"


async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await once(SSE + EVENT, then="wait")(reader, writer)
    except ConnectionError:
        pass  # the gateway left, as it should
    finally:
        writer.close()


async def test_open_stream_is_seen_by_operators_and_can_be_cut(tmp_path: Path) -> None:
    backend = await asyncio.start_server(feed, "127.0.0.1", 0)
    port = backend.sockets[0].getsockname()[1]
    text = (
        f"upstreams: {{u: {{targets: ['http://127.0.0.1:{port}']}}}}\n"
        "routes: [{name: feed, match: {path: /feed}, upstream: u}]\n"
    )
    async with backend, serving(tmp_path, text, EDGE) as gateway:
        await add_tenant(gateway)
        minted = await mint(gateway.keyring)
        host, _, number = gateway.public_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(number))
        writer.write(b"GET /feed HTTP/1.1\r\nHost: a.test\r\n")
        writer.write(b"Authorization: Bearer %b\r\n\r\n" % minted.secret.encode())
        await reader.readuntil(EVENT)

        (shown,) = (await ask(gateway.admin_address, "/admin/v1/streams")).json["data"]
        assert (shown["kind"], shown["route"]) == ("sse", "feed")
        assert shown["key_id"] == minted.record.key_id
        assert shown["response_bytes"] == len("data: 1\n")
        metrics = (await ask(gateway.metrics_address, "/metrics")).body
        assert b'tollhouse_open_streams{kind="sse"} 1.0' in metrics

        assert await gateway.crew.streams.cut(lambda _: Reason.KEY_SUSPENDED) == 1
        assert b"0\r\n\r\n" not in await reader.read()
        writer.close()
        await until(lambda: not list(gateway.here.streams.lasting()))
        metrics = (await ask(gateway.metrics_address, "/metrics")).body
        assert b'tollhouse_streams_closed_total{cause="key_suspended"} 1.0' in metrics
