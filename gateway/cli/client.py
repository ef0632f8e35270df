"""How a command reaches the keys: the admin socket of the running gateway, or, offline, the file
itself.

Knows addresses, the token and what the exit status says about each kind of failure. Offline, the
same admin API is served to this very process on a socket that nobody else can open, so a verb
cannot mean two things. A secret is never taken from the command line: arguments show up in `ps`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp

from gateway.assembly.errors import CannotStart
from gateway.cli.conditions import Conditions
from gateway.cli.output import Printer, add_output_option
from gateway.cli.statuses import DONE as DONE
from gateway.cli.statuses import INTERRUPTED
from gateway.cli.statuses import REFUSED as REFUSED
from gateway.cli.statuses import UNREACHABLE as UNREACHABLE
from gateway.cli.statuses import WRONG_USAGE as WRONG_USAGE
from gateway.cli.trust import Untrusted, by_authority, by_file
from gateway.config.load import load
from gateway.config.model import split_bind
from gateway.config.places import anchored
from gateway.config.problems import ConfigErrors
from gateway.ports import StoreUnavailable

TOKEN_VARIABLE: Final = "TOLLHOUSE_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
ANSWER_SECONDS_MAX: Final = 30.0

HTTPS: Final = "https://"


class CannotConnect(Exception):
    """There is nobody to ask; the text says where was asked and what to try."""


class WrongUsage(Exception):
    """The options do not fit together; the text says how they do."""


class Rejected(Exception):
    """The gateway said no. `problem` is its answer (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(str(problem.get("detail", "the request was refused")))


class AdminClient:
    """Calls the admin API; `conditions` go along with every call that may change something."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        conditions: Conditions,
    ) -> None:
        self._session = session
        self._address = address
        self._conditions = conditions

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the answer. Raises `Rejected` or `CannotConnect`."""
        url = f"/admin/v1{path}"
        headers: Mapping[str, str] = {}
        if method != "GET":
            query = {**(query or {}), **self._conditions.query}
            headers = self._conditions.headers
        try:
            async with self._session.request(
                method, url, json=body, params=query, headers=headers
            ) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            text = str(error) or "no answer in time"
            raise CannotConnect(f"cannot reach the gateway at {self._address}: {text}") from error
        if response.status >= 400:
            raise Rejected(answer)
        return answer

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the body of an answer as it comes. Raises `Rejected` or `CannotConnect`, also in the middle."""
        try:
            async with self._session.get(
                f"/admin/v1{path}",
                params=query,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=ANSWER_SECONDS_MAX),
            ) as response:
                if response.status >= 400:
                    raise Rejected(await response.json(content_type=None))
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            text = str(error) or "no answer in time"
            raise CannotConnect(f"cannot reach the gateway at {self._address}: {text}") from error

    async def entries(
        self, path: str, query: Mapping[str, str], limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return up to `limit` entries of a list, page by page, and whether there are more."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page_query = {**query, "limit": str(min(1000, limit - len(found)))}
            if cursor:
                page_query["cursor"] = cursor
            page = await self.call("GET", path, query=page_query)
            found += page["data"]
            cursor = page["next_cursor"] or ""
            if not cursor or len(found) >= limit:
                return found, bool(cursor)


Act = Callable[[AdminClient, argparse.Namespace, Printer], Awaitable[None]]


def add_client_options(parser: argparse.ArgumentParser, *, has_offline: bool = True) -> None:
    """Add the options that say whom to ask; without `has_offline`, only a gateway that runs."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--config",
        type=Path,
        default=Path("config.yaml"),
        help="configuration that names the admin socket (default: %(default)s)",
    )
    group.add_argument(
        "--admin",
        metavar="ADDRESS",
        help="admin socket, unix:PATH, HOST:PORT or https://HOST:PORT; the configuration is then not read",
    )
    group.add_argument(
        "--ca",
        type=Path,
        metavar="PATH",
        help="speak TLS, and believe these authorities (PEM; default: with --admin the system's, else the "
        "certificate that the configuration names)",
    )
    group.add_argument(
        "--certificate",
        type=Path,
        metavar="PATH",
        help="certificate and key (PEM, one file) for a gateway that asks for client certificates",
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="PATH",
        help=f"file with the admin token (default: ${TOKEN_VARIABLE}, then the configuration)",
    )
    if has_offline:
        group.add_argument(
            "--offline",
            action="store_true",
            help="open the store's file instead of asking a gateway; one that runs follows shortly",
        )
    else:
        parser.set_defaults(offline=False)
    add_output_option(parser)


def _say(errors: ConfigErrors, printer: Printer) -> None:
    printer.message(str(errors))


def run(
    options: argparse.Namespace, act: Act, tell: Callable[[ConfigErrors, Printer], None] = _say
) -> int:
    """Connect, do `act`, and return the exit status. `tell` says what is wrong with the configuration."""
    printer = Printer(options.output)

    async def connect_and_act() -> None:
        async with _connected(options) as client:
            await act(client, options, printer)

    try:
        asyncio.run(connect_and_act())
    except Rejected as error:
        printer.message(f"tollhouse: {error}")
        for each in error.problem.get("errors", ()):
            printer.message(f"  {each['pointer'] or '/'}: {each['detail']}")
        return REFUSED
    except ConfigErrors as error:
        tell(error, printer)
        return REFUSED
    except WrongUsage as error:
        printer.message(f"tollhouse: {error}")
        return WRONG_USAGE
    except (CannotConnect, CannotStart, StoreUnavailable) as error:
        printer.message(f"tollhouse: {error}")
        return UNREACHABLE
    except KeyboardInterrupt:
        return DONE if getattr(options, "follow", False) else INTERRUPTED
    except BrokenPipeError:  # whoever read has enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


@asynccontextmanager
async def _connected(options: argparse.Namespace) -> AsyncIterator[AdminClient]:
    async with AsyncExitStack() as stack:
        if options.offline:
            path = await stack.enter_async_context(_served_offline(options.config))
            whom = Whom(address=f"unix:{path}", token="")
        else:
            whom = _whom_to_ask(options)
        host, port = split_bind(whom.address)
        connector = (
            aiohttp.UnixConnector(host)
            if port < 0
            else aiohttp.TCPConnector(ssl=whom.trust if whom.trust is not None else True)
        )
        name = "tollhouse" if port < 0 else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        session = aiohttp.ClientSession(
            f"{'http' if whom.trust is None else 'https'}://{name}",
            connector=connector,
            headers={"Authorization": f"Bearer {whom.token}"} if whom.token else {},
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
        )
        conditions = Conditions.of(options)
        yield AdminClient(await stack.enter_async_context(session), whom.address, conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """An admin socket, `unix:PATH` or `HOST:PORT`, and the token that it asks for (empty: none).

    `trust` says whom to believe to be the gateway when TLS is spoken, None without TLS.
    """

    address: str
    token: str = field(repr=False)
    trust: ssl.SSLContext | None = None


def _whom_to_ask(options: argparse.Namespace) -> Whom:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if options.token_file is not None:
        token = _read_token(options.token_file)
    try:
        if options.admin is not None:
            return _named(options, token)
        return _configured(options, token)
    except Untrusted as error:
        raise WrongUsage(str(error)) from error


def _named(options: argparse.Namespace, token: str) -> Whom:
    address = options.admin.removeprefix(HTTPS)
    try:
        _, port = split_bind(address)
    except ValueError as error:
        raise WrongUsage(f"--admin {options.admin}: {error}") from error
    if options.admin == address and options.ca is None:
        return Whom(address=address, token=token)
    if port < 0:
        raise WrongUsage("TLS is spoken over TCP only: leave --ca out, or name HOST:PORT")
    return Whom(address=address, token=token, trust=by_authority(options.ca, options.certificate))


def _configured(options: argparse.Namespace, token: str) -> Whom:
    section = load(options.config, os.environ).listeners.admin
    path, port = split_bind(section.bind)
    trust = None
    if port < 0:
        if section.tls is not None or options.ca is not None:
            raise WrongUsage(
                "commands speak TLS over TCP only: remove `listeners.admin.tls` or --ca"
            )
    elif options.ca is not None:
        trust = by_authority(options.ca, options.certificate)
    elif section.tls is not None:
        certificate = anchored(options.config, section.tls.certificates[0].certificate)
        trust = by_file(certificate, options.certificate)
    address = f"unix:{anchored(options.config, path)}" if port < 0 else section.bind
    return Whom(address=address, token=token or section.token.get_secret_value(), trust=trust)


def _read_token(path: Path) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise WrongUsage(f"--token-file {path}: {error}") from error
    if not token:
        raise WrongUsage(f"--token-file {path}: the file is empty")
    return token


@asynccontextmanager
async def _served_offline(config_path: Path) -> AsyncIterator[Path]:
    """Serve the admin API over the store's file, to this process only."""
    # They bring most of a gateway, half a second of work that a command which only asks one does without.
    from aiohttp import web

    from gateway.admin.app import create_admin_app
    from gateway.admin.deliveries import link_under
    from gateway.assembly.offline import open_offline

    config = load(config_path, os.environ)
    listener = config.listeners.delivery
    async with AsyncExitStack() as stack:
        offline = await stack.enter_async_context(open_offline(config, config_path))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tollhouse-"))  # 0700
        app = create_admin_app(
            lambda: offline.keyring,
            audit=offline.audit,
            request_log=offline.request_log,
            usage=offline.usage,
            link=partial(
                link_under,
                base_url=listener.base_url,
                has_listener=listener.bind is not None,
            ),
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        path = Path(folder) / "admin.sock"
        await web.UnixSite(runner, str(path)).start()
        yield path
