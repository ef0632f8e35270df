"""Active health checks: asks every target of an upstream regularly whether it works.

Knows what a good answer is and when to ask again. It must not know which target gets a request, nor anything that a
client sent: a probe carries what the configuration says and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import aiohttp
from yarl import URL

from gateway.domain.verdict import Verdict
from gateway.upstreams.target import Address
from gateway.upstreams.tls import cause

BODY_BYTES_MAX: Final = 65536
"""How far the body is searched."""

PROBES_AT_ONCE_MAX: Final = 16
"""Per upstream: one with a thousand targets shall not open a thousand connections in one moment."""

_FIRST_PAUSE_SECONDS: Final = 1.0
_JITTER: Final = 0.1

_log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of a probe."""

    OK = "ok"
    STATUS = "status"
    BODY = "body"
    TIMEOUT = "timeout"
    ERROR = "error"


class Found(NamedTuple):
    """What came of a probe, and why, for the log."""

    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """What is asked how often, and what answer is good. `host` is the `Host` value, empty for the target's own."""

    path: str
    method: str = "GET"
    interval_seconds: float = 5.0
    timeout_seconds: float = 2.0
    rise: int = 2
    fall: int = 3
    statuses: tuple[tuple[int, int], ...] = ((200, 299),)
    body_contains: bytes = b""
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Probed(Protocol):
    """A target, as far as it is watched."""

    @property
    def address(self) -> Address: ...

    @property
    def label(self) -> str: ...

    def probed(self, is_up: bool, why: str) -> None:
        """Take note of a verdict that is new."""
        ...


class Probes:
    """Watches the targets of one upstream while `run` lasts.

    `targets` tells which there are; `changed` says that there may be others. `count` is told the outcome of each probe,
    `random` returns numbers from 0 to 1.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        targets: Callable[[], Sequence[Probed]],
        *,
        count: Callable[[str], None],
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._count = count
        self._random = random
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(PROBES_AT_ONCE_MAX)

    def changed(self) -> None:
        """Look again which targets there are."""
        self._changed.set()

    async def run(self) -> None:
        """Watch every target, each on its own, until cancelled."""
        watched: dict[Probed, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                targets = self._targets()
                for gone in watched.keys() - set(targets):
                    watched.pop(gone).cancel()
                for target in targets:
                    if target not in watched:
                        watched[target] = tasks.create_task(self._watch(target))
                await self._changed.wait()

    async def _watch(self, target: Probed) -> None:
        settings = self._settings
        verdict = Verdict(rise=settings.rise, fall=settings.fall)
        loop = asyncio.get_running_loop()
        async with _session(target.address) as session:
            while True:
                async with self._slots:
                    began = loop.time()
                    found = await self._probe(session, target.address)
                self._count(found.outcome)
                if verdict.take(found.outcome is Outcome.OK):
                    target.probed(bool(verdict.is_up), found.why)
                await asyncio.sleep(max(0.0, began + self._pause(verdict) - loop.time()))

    def _pause(self, verdict: Verdict) -> float:
        """Return the seconds from one probe to the next; never more than the interval.

        A target that has not been well yet may just be starting: it is asked soon, and then less and less often.
        """
        seconds = self._settings.interval_seconds
        if not verdict.has_been_up:
            seconds = min(
                seconds, _FIRST_PAUSE_SECONDS * 2 ** min(verdict.failures_at_first - 1, 20)
            )
        return seconds * (1 - _JITTER * self._random())

    async def _probe(self, session: aiohttp.ClientSession, address: Address) -> Found:
        settings = self._settings
        try:
            async with (
                asyncio.timeout(settings.timeout_seconds),
                session.request(
                    settings.method,
                    _url(address, settings.path),
                    headers=self._headers(address),
                    allow_redirects=False,
                    ssl=address.tls or True,
                    server_hostname=(address.server_name or address.host) if address.tls else None,
                ) as response,
            ):
                return await self._judge(response)
        except TimeoutError:
            return Found(Outcome.TIMEOUT, f"no answer within {settings.timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Found(Outcome.ERROR, _explain(error))
        except Exception as error:  # noqa: BLE001 - logged: the next probe may succeed
            _log.exception("a probe of %s broke", address.label)
            return Found(Outcome.ERROR, f"the probe broke: {type(error).__name__}")

    def _headers(self, address: Address) -> dict[str, str]:
        settings = self._settings
        return {
            "User-Agent": "tollhouse",
            **settings.headers,
            "Host": settings.host or _authority(address),
        }

    async def _judge(self, response: aiohttp.ClientResponse) -> Found:
        settings = self._settings
        if not any(first <= response.status <= last for first, last in settings.statuses):
            return Found(Outcome.STATUS, f"answered {response.status}")
        if settings.body_contains and not await _contains(response, settings.body_contains):
            return Found(Outcome.BODY, "the text that its answer must contain is missing")
        return Found(Outcome.OK, f"answered {response.status}")


async def _contains(response: aiohttp.ClientResponse, wanted: bytes) -> bool:
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if wanted in body[:BODY_BYTES_MAX]:
            return True
        if len(body) >= BODY_BYTES_MAX:
            break
    return False


def _session(address: Address) -> aiohttp.ClientSession:
    """Return what probes of one target share: no connection, because that a new one can be made is what they find out,
    no cookies, no proxy and no credentials of this machine's environment.
    """
    connector: aiohttp.BaseConnector
    if address.unix_path:
        connector = aiohttp.UnixConnector(address.unix_path, force_close=True)
    else:
        connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        read_bufsize=BODY_BYTES_MAX,
    )


def _authority(address: Address) -> str:
    return "localhost" if address.unix_path else address.authority or address.label


def _url(address: Address, path: str) -> URL:
    scheme = "https" if address.tls else "http"
    where = "localhost" if address.unix_path else address.label
    return URL(f"{scheme}://{where}{path}", encoded=True)


def _explain(error: Exception) -> str:
    """Return what went wrong beneath aiohttp."""
    for inner in (
        getattr(error, "certificate_error", None),
        getattr(error, "os_error", None),
        error,
    ):
        if isinstance(inner, ssl.SSLError):
            return cause(inner)
    inner = getattr(error, "os_error", error)
    return str(inner) or type(inner).__name__
