"""A WebSocket server that gives back every message, of any size: `--port N`."""

from __future__ import annotations

import argparse

from aiohttp import WSMsgType, web


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Give back every message as it came."""
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.peers.websocket_echo")
    parser.add_argument("--port", type=int, required=True)
    app = web.Application()
    app.router.add_get("/echo", echo)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, access_log=None, print=None)
