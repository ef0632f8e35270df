"""Where a target of an upstream listens, as a person writes it.

Knows the three spellings: `http://host:port/base`, `https://host:port/base` and `http+unix:/path/of.sock:/base`. It
must not know which upstream a target belongs to.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator

from gateway.config.sections.values import Label
from gateway.config.sections.wire import HOST_PORT

HTTP_UNIX: Final = "http+unix:"
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_BASE_PATH: Final = re.compile(r"[!-~]*")


class TargetParts(NamedTuple):
    """A target taken apart: `host` and `port`, or `unix_path`; `base_path` without trailing slash.

    `authority` is what `Host` holds for it, `localhost` for a socket.
    """

    scheme: str
    authority: str
    host: str
    port: int
    unix_path: str
    base_path: str

    @property
    def is_tls(self) -> bool:
        """Tell whether TLS is spoken."""
        return self.scheme == "https"

    @property
    def place(self) -> str:
        """The target in the one spelling that its address has."""
        if self.unix_path:
            return f"{HTTP_UNIX}{self.unix_path}" + (f":{self.base_path}" if self.base_path else "")
        usual = f":{DEFAULT_PORTS[self.scheme]}"
        return f"{self.scheme}://{self.authority.lower().removesuffix(usual)}{self.base_path}"

    @property
    def is_name(self) -> bool:
        """Tell whether the host has to be looked up."""
        return bool(self.host) and not is_ip(self.host)


def is_ip(host: str) -> bool:
    """Tell whether `host` is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def target_parts(target: str) -> TargetParts:
    """Take a target apart; raise `ValueError` with the rule that is broken."""
    if target.startswith(HTTP_UNIX):
        return _unix_parts(target.removeprefix(HTTP_UNIX))
    scheme, separator, _ = target.partition("://")
    if not separator or scheme not in DEFAULT_PORTS:
        raise ValueError("must be an `http://` or `https://` URL or `http+unix:/path`")
    return _url_parts(scheme, target)


def _unix_parts(rest: str) -> TargetParts:
    # The socket's path ends at `:/`, as nginx spells it: hardly any folder's name ends in a colon.
    path, colon, base = rest.partition(":/")
    if not path.startswith("/") or path.startswith("//") or "\0" in path:
        raise ValueError("must name an absolute path: `http+unix:/run/app.sock`")
    return TargetParts("http", "localhost", "", 0, path, _base_path(f"/{base}" if colon else ""))


def _url_parts(scheme: str, target: str) -> TargetParts:
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL: the host or port cannot be read") from None
    if "@" in parts.netloc or "?" in target or "#" in target:
        raise ValueError("must hold neither user, query nor fragment")
    authority = parts.netloc.lower()
    usual = DEFAULT_PORTS[scheme]
    if port == 0 or not HOST_PORT.fullmatch(authority if port else f"{authority}:{usual}"):
        raise ValueError(f"must name a host and, if not {usual}, a port: `{scheme}://host:port`")
    host = parts.hostname or ""
    if authority.startswith("[") and not is_ip(host):
        raise ValueError("has no IP address between its brackets")
    return TargetParts(scheme, parts.netloc, host, port or usual, "", _base_path(parts.path))


def _base_path(path: str) -> str:
    if not _BASE_PATH.fullmatch(path) or "//" in path:
        raise ValueError("has a base path with spaces, non-ASCII characters or `//`")
    return path.rstrip("/")


def _target(value: str) -> str:
    target_parts(value)
    return value


Target = Annotated[
    str, AfterValidator(_target), Label("http:// or https:// URL, or http+unix:/path")
]
