"""A request that nobody sent, as it is described to the admin API.

Knows its fields, and how they become the head that a client would send. A secret has no place in it: a key is named by
its id.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from gateway.admin.problems import BadRequest
from gateway.admin.shapes import Shape
from gateway.domain.key_rules import Problem, Refused
from gateway.domain.networks import normalise_address
from gateway.domain.request import RequestHead
from gateway.pipeline.explain import Asked

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SECRET_FIELDS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
_HOST_UNSAID: Final = "localhost"

Fields = Annotated[dict[str, str | tuple[str, ...]], Field(max_length=100)]
"""Header fields: a text, or a list of them for a field that comes several times."""


class Hypothetical(Shape):
    """The body of `POST /explain`."""

    method: str = "GET"
    url: str = Field(min_length=1, max_length=8192)
    key_id: str = Field("", max_length=64)
    client_address: str = Field("", max_length=64)
    headers: Fields = Field(default_factory=dict)

    def asked(self) -> Asked:
        """Return the request. Raises `Refused` with everything that cannot be in one."""
        problems: list[Problem] = []
        if _TOKEN.fullmatch(self.method) is None:
            problems.append(("/method", "is no method"))
        if _TARGET.fullmatch(self.url) is None:
            problems.append(
                ("/url", "must be printable ASCII without spaces; percent-encode the rest")
            )
        fields, problems_of_fields = read_fields(self.headers)
        problems += problems_of_fields
        if self.key_id and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.key_id) is None:
            problems.append(("/key_id", "is no id of a key; a secret is none either"))
        problems += address_problems("/client_address", self.client_address)
        if problems:
            raise Refused(problems)
        target, host = _split(self.url)
        if not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ("Host", host or _HOST_UNSAID))
        lines = [
            f"{self.method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields),
        ]
        raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return Asked(raw=raw, key_id=self.key_id, peer_address=self.client_address)


def read_fields(headers: Fields) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Return header fields one by one, and what is wrong with them."""
    fields: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for name, told in headers.items():
        pointer = "/headers/" + name.replace("~", "~0").replace("/", "~1")
        values = (told,) if isinstance(told, str) else told
        if _TOKEN.fullmatch(name) is None:
            problems.append((pointer, "is no name of a header field"))
        elif name.lower() in _SECRET_FIELDS:
            problems.append((pointer, "has no place here: name the key by its id"))
        elif not all(map(_VALUE.fullmatch, values)):
            problems.append((pointer, "holds characters that no header field may have"))
        fields += [(name, value) for value in values]
    return fields, problems


def address_problems(pointer: str, text: str) -> list[Problem]:
    """Say what is wrong with an address; empty is that of a unix socket."""
    try:
        if text:
            normalise_address(text.partition("%")[0])
    except ValueError:
        return [(pointer, "is no IP address")]
    return []


def head_of(fields: list[tuple[str, str]]) -> RequestHead:
    """Return a head with these fields, for whoever looks at nothing else."""
    made = tuple(
        (name.lower().encode("latin-1"), name.encode("latin-1"), value.strip().encode("latin-1"))
        for name, value in fields
    )
    return RequestHead(method="GET", target=b"/", path="/", fields=made)


def _split(url: str) -> tuple[str, str]:
    """Return target and authority of a whole URL; of a path alone, itself and nothing."""
    if not url.lower().startswith(("http://", "https://")):
        return url, ""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refused([("/url", "is no URL")]) from None
    target = parts.path or "/"
    return f"{target}?{parts.query}" if parts.query else target, parts.netloc


def running(part: Any) -> Any:
    """Return `part` of a running gateway. Raises `BadRequest` where none runs."""
    if part is None:
        raise BadRequest(409, "No gateway runs here: only a running one can tell.")
    return part
