"""Where limits are counted: in the gateway, or in a Redis."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from gateway.config.sections.base import RESTART, Applies, Section
from gateway.config.sections.reach import PemFile
from gateway.config.sections.values import Duration, Flag, Label, Name, Secret, Share
from gateway.config.sections.wire import HOST_PORT

REDIS_PORT: Final = 6379
_DATABASE: Final = re.compile(r"/?|/[0-9]{1,5}")
_LEASE_MOST: Final = 60.0
_SHORTEST: Final = 0.01


class RedisParts(NamedTuple):
    """A Redis URL taken apart: `host` and `port`, or the `path` of a socket; `database` is a number."""

    is_tls: bool
    host: str
    port: int
    path: str
    database: int
    username: str
    password: str

    @property
    def place(self) -> str:
        """Where it leads, without the password: for logs."""
        return self.path or f"{self.host}:{self.port}"


def redis_parts(url: str) -> RedisParts:
    """Take a URL apart; raise `ValueError` with the rule that is broken, and nothing of the URL: it holds a secret."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"redis", "rediss", "redis+unix"}:
        raise ValueError("must be a `redis://`, `rediss://` or `redis+unix://` URL")
    if "?" in rest or "#" in rest:
        raise ValueError("must hold neither query nor fragment")
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL: the host or port cannot be read") from None
    who = unquote(parts.username or ""), unquote(parts.password or "")
    if scheme == "redis+unix":
        if parts.hostname or not parts.path.startswith("/") or parts.path == "/":
            raise ValueError("must name an absolute path: `redis+unix:///run/redis.sock`")
        return RedisParts(False, "", 0, unquote(parts.path), 0, *who)
    host = parts.netloc.rpartition("@")[2].lower()
    if not HOST_PORT.fullmatch(host if port is not None else f"{host}:{REDIS_PORT}") or port == 0:
        raise ValueError("must name a host and, if not 6379, a port: `redis://host:port`")
    if not _DATABASE.fullmatch(parts.path):
        raise ValueError("may end in the number of a database, such as `/1`, and in nothing else")
    database = int(parts.path.strip("/") or "0")
    return RedisParts(
        scheme == "rediss", parts.hostname or "", port or REDIS_PORT, "", database, *who
    )


def _redis_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        redis_parts(value.get_secret_value())
    return value


def _host_port(value: str) -> str:
    if not HOST_PORT.fullmatch(value.lower()):
        raise ValueError("must be `host:port`")
    return value


def _lease(seconds: float) -> float:
    if not _SHORTEST <= seconds <= _LEASE_MOST:
        raise ValueError("must be between 10ms and 60s")
    return seconds


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1.0:
        raise ValueError("must be 1s or more: those that go on are told of three times as often")
    return seconds


def _share(value: float) -> float:
    if not value:
        raise ValueError("must be greater than zero: `on_failure.limits: deny` lets nobody in")
    return value


HostPort = Annotated[str, AfterValidator(_host_port), Label("host:port")]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url), Label("redis:// URL or empty")]


class LimitsTls(Section):
    """How a `rediss://` server is spoken to. Relative paths start at the folder of this file."""

    applies: ClassVar[Applies] = "restart"

    ca: PemFile = ""
    """PEM file with the authorities that may vouch for the server. Empty: those that the system
    trusts."""
    certificate: PemFile = ""
    """PEM file with the certificate that the gateway presents (mTLS), followed by its chain. Empty:
    none."""
    key: PemFile = ""
    """PEM file with the private key of `certificate`, without a passphrase. Empty: it is in the
    same file."""


class Limits(Section):
    """Where limits are counted: in this gateway, or in a Redis that several gateways share. A bare
    URL stands for `url`."""

    url: RedisUrl = Field(SecretStr(""), json_schema_extra=RESTART)
    """`redis://user:password@host:6379/0`, `rediss://` with TLS, or `redis+unix:///run/redis.sock`;
    with `sentinels`, the host is the name of the service. It needs a library: `pip install
    'tollhouse[redis]'`. Empty: limits are those of this gateway alone."""
    mode: Literal["exact", "leased"] = Field("exact", json_schema_extra=RESTART)
    """`exact`: Redis is asked once for each request. `leased`: it is asked for many requests of a busy
    limit at a time, which may then be exceeded by what its rate lets in during one `lease`; quotas
    are not exceeded."""
    lease: Annotated[Duration, AfterValidator(_lease)] = Field(0.5, json_schema_extra=RESTART)
    """How long requests that were taken in advance may be let in."""
    prefix: Name = Field("tollhouse", json_schema_extra=RESTART)
    """What all keys in Redis begin with. Gateways with the same one share their limits."""
    sentinels: tuple[HostPort, ...] = Field((), json_schema_extra=RESTART)
    """Sentinels that know where the service is; any one that answers will do."""
    sentinel_username: Annotated[str, Label("text")] = Field("", json_schema_extra=RESTART)
    """User name at the sentinels. Empty: none."""
    sentinel_password: Secret = Field(SecretStr(""), json_schema_extra=RESTART)
    """Password at the sentinels. Empty: none."""
    cluster: Flag = Field(False, json_schema_extra=RESTART)
    """Whether `url` leads to a Redis Cluster: limits of one owner are then drawn in one act, those of
    several (a key, its tenant, a route) one beside the other."""
    tls: LimitsTls = Field(default_factory=LimitsTls)
    """TLS, for `rediss://`."""
    connect_timeout: Duration = 1.0
    """How long connecting may take."""
    timeout: Duration = 0.25
    """How long a request may wait for Redis. One answer that is later makes the connection useless,
    and `on_failure.limits` decides until there is another one."""
    retry: Duration = 1.0
    """How often a Redis that does not answer is tried again."""
    local_share: Annotated[Share, AfterValidator(_share)] = 0.5
    """Part of each limit that this gateway lets in by itself while Redis does not answer, if
    `on_failure.limits` is `local`. With one over the number of gateways, all together let in no more
    than the limit."""
    concurrency_timeout: Annotated[Duration, AfterValidator(_at_least_a_second)] = Field(
        30.0, json_schema_extra=RESTART
    )
    """How long requests of a gateway that died count against a `concurrency`. Those that go on are
    told of three times as often."""
