"""The gateway, with a socket that takes the order to cut the streams of some keys.

One line holds key ids, separated by spaces; the answer is how many requests were cut, and the
seconds that the act took.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import time
from pathlib import Path

import uvloop

from gateway.assembly.gateway import Gateway, opened
from gateway.config.load import load
from gateway.control.run import Signals
from gateway.domain.denial import Reason
from gateway.domain.streams import OpenStream


async def serve(config: Path, orders: Path) -> None:
    """Serve until the process is told to stop."""
    async with opened(load(config, os.environ), config) as gateway:

        async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            keys = frozenset((await reader.readline()).decode().split())
            count, seconds = await cut(gateway, keys)
            writer.write(f"{count} {seconds}\n".encode())
            writer.close()

        gc.collect()
        gc.freeze()
        async with await asyncio.start_unix_server(obey, orders):
            signals = Signals(
                asyncio.get_running_loop(),
                reopen=gateway.reopen_logs,
                reload=gateway.reloads.ask,
                hurry=gateway.hurry,
            )
            await signals.stopped()


async def cut(gateway: Gateway, keys: frozenset[str]) -> tuple[int, float]:
    """Cut what `keys` have open; return how much that was, and the seconds that it took."""

    def condemn(stream: OpenStream) -> Reason | None:
        is_theirs = stream.key is not None and stream.key.record.key_id in keys
        return Reason.KEY_REVOKED if is_theirs else None

    started = time.perf_counter()
    count = await gateway.crew.streams.cut(condemn)
    return count, time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.peers.cutting_gateway")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--orders", type=Path, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.config, options.orders))
