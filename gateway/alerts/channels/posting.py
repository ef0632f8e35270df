"""A POST to a URL of the configuration, and what its answer means.

Knows how not to be led astray: redirects are not followed, proxies of the environment not used, cookies not kept, and
an answer is read no further than its status. The URL may hold a secret and is in no text. It must not know what is
sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from gateway.alerts.channels.channel import Undelivered

RETRY_AFTER_MAX: Final = 3_600.0
"""A receiver that wants a longer pause than an hour gets an hour."""

_GONE: Final = 410
_NO_TLS: Final = "cannot speak TLS with the receiver"


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, ca: str = ""
) -> None:
    """Send `body`; `ca` is a file of certificates (PEM), empty for those of the system. Raises `Undelivered`."""
    try:
        context = await trust(ca) if url.startswith("https:") else None
        connector = aiohttp.TCPConnector(ssl=context if context is not None else True)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                trust_env=False,
                auto_decompress=False,
            ) as session,
            session.post(url, data=body, headers=dict(headers), allow_redirects=False) as response,
        ):
            status, wait = response.status, response.headers.get("Retry-After", "")
    except TimeoutError:
        raise Undelivered(f"no answer within {timeout_seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Undelivered(_reason(error)) from None
    _judge(status, wait)


async def trust(ca: str) -> ssl.SSLContext:
    """Return the context that a receiver's certificate is checked by. Raises `OSError` for a file that cannot be read.

    Read anew each time: it may have been replaced, and a message is rare.
    """
    return await asyncio.to_thread(ssl.create_default_context, cafile=ca or None)


def _judge(status: int, wait: str) -> None:
    if 200 <= status < 300:
        return
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 10 else 0.0
    raise Undelivered(
        f"the receiver answered {status}",
        is_final=status == _GONE,  # Standard Webhooks: the receiver wants no more
        retry_after_seconds=min(seconds, RETRY_AFTER_MAX),
    )


def _reason(error: Exception) -> str:
    """Return what went wrong, in words that do not name the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the receiver's certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return _NO_TLS
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, aiohttp.ClientError):
        return f"the connection failed: {type(error).__name__}"
    if isinstance(error, OSError):
        return f"cannot send: {error.strerror or type(error).__name__}"
    return f"cannot send: {type(error).__name__}"
