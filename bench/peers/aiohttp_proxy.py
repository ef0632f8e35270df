"""An API-key gateway in aiohttp, as one would write it with some care, to compare with.

`python -m bench.peers.aiohttp_proxy --port N --upstream URL`. The fastest that aiohttp offers on
both sides (the low-level server, one pooled session, uvloop) and the same policy: HMAC of the key,
scope of the matched route, token bucket per key, a counter and a histogram per route. It lacks
what a product needs: flow control of its own, address rules, identity headers, key management.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import time
from collections.abc import Callable
from typing import Final

import uvloop
from aiohttp import ClientSession, TCPConnector, hdrs, web
from aiohttp.web import BaseRequest
from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import Counter, Histogram
from yarl import URL

from bench.policy import PEPPER, Key, Policy, Route, make_policy

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
SMALL_BODY_BYTES: Final = 64 * 1024


class Bucket:
    """A token bucket that starts full."""

    __slots__ = ("_at", "_burst", "_per_second", "_tokens")

    def __init__(self, per_minute: int) -> None:
        self._burst = float(per_minute)
        self._per_second = per_minute / 60
        self._tokens = self._burst
        self._at = time.monotonic()

    def take(self) -> bool:
        """Take one token if there is one."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Gatekeeper:
    """Decides on a request: a refusing status, or the route that it may take."""

    def __init__(self, policy: Policy) -> None:
        self._pepper = PEPPER.encode()
        self._keys: dict[bytes, tuple[Key, frozenset[str], Bucket]] = {
            bytes.fromhex(key.digest): (key, frozenset(key.scopes), Bucket(key.limit))
            for key in policy.keys
        }
        self._routes = {(r.method, r.path): r for r in policy.routes}

    def decide(self, method: str, path: str, authorization: str) -> int | Route:
        """Return the refusing status, or the route that the request may take."""
        route = self._routes.get((method, path))
        if route is None:
            route = self._routes.get((method, path.rpartition("/")[0] + "/{id}"))
        if route is None:
            return 404
        if not authorization.startswith("Bearer "):
            return 401
        digest = hmac.digest(self._pepper, authorization[7:].encode(), "sha256")
        found = self._keys.get(digest)
        if found is None:
            return 401
        _key, scopes, bucket = found
        if route.scope not in scopes:
            return 403
        return route if bucket.take() else 429


class Proxy:
    """Forwards what the gatekeeper lets through."""

    def __init__(self, gatekeeper: Gatekeeper, session: ClientSession, upstream: str) -> None:
        self._decide = gatekeeper.decide
        self._session = session
        self._upstream = upstream
        self._requests = Counter("requests", "Requests", ["route", "status"])
        self._seconds = Histogram("request_seconds", "Duration", ["route"])
        self._recorders: dict[tuple[str, int], Callable[[float], None]] = {}

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        started = time.perf_counter()
        path = request.raw_path.partition("?")[0]
        authorization = request.headers.get(hdrs.AUTHORIZATION, "")
        decision = self._decide(request.method, path, authorization)
        if isinstance(decision, int):
            response: web.StreamResponse = web.json_response({"status": decision}, status=decision)
            self._record("refused", decision, started)
            return response
        response = await self._forward(request)
        self._record(decision.name, response.status, started)
        return response

    async def _forward(self, request: BaseRequest) -> web.StreamResponse:
        url = URL(self._upstream + request.raw_path, encoded=True)
        headers = _end_to_end(request.headers)
        body = request.content if request.body_exists else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            fields = _end_to_end(answer.headers)
            length = answer.content_length
            if length is not None and length <= SMALL_BODY_BYTES:
                fields.popall(hdrs.CONTENT_LENGTH)
                whole = await answer.read()
                return web.Response(status=answer.status, headers=fields, body=whole)
            response = web.StreamResponse(status=answer.status, headers=fields)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def _record(self, route: str, status: int, started: float) -> None:
        record = self._recorders.get((route, status))
        if record is None:
            count = self._requests.labels(route, str(status)).inc
            observe = self._seconds.labels(route).observe

            def record(seconds: float) -> None:
                count()
                observe(seconds)

            self._recorders[route, status] = record
        record(time.perf_counter() - started)


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in HOP_BY_HOP)


async def serve(port: int, upstream: str) -> None:
    """Serve until cancelled."""
    connector = TCPConnector(limit=256, keepalive_timeout=3600)
    async with ClientSession(
        connector=connector,
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    ) as session:
        proxy = Proxy(Gatekeeper(make_policy()), session, upstream)
        server = web.Server(proxy.handle, access_log=None, keepalive_timeout=3600)
        loop = asyncio.get_running_loop()
        await loop.create_server(server, "127.0.0.1", port, backlog=1024)
        await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.upstream))


if __name__ == "__main__":
    main()
