"""What a dialect is made of: phrases, an envelope with slots, and what an operator may change.

Knows the vocabulary that every dialect's data file is written in. It must not know any dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Final

from gateway.domain.denial import Reason


class Slot(Enum):
    """A place in an envelope. A member whose slot has nothing to say is left out.

    Down to `SUPPORT_URL` they are known when the dialect is built, the others per request.
    `DOCS_URL` is the documentation as a whole, never a reason's own page: a dialect that merges
    reasons must not tell them apart by a link.
    """

    CODE = auto()
    MESSAGE = auto()
    STATUS = auto()
    STATUS_TEXT = auto()
    TYPE = auto()
    TITLE = auto()
    DOCS_URL = auto()
    SUPPORT_URL = auto()
    REQUEST_ID = auto()
    INSTANCE = auto()
    TIMESTAMP = auto()
    REQUIRED_SCOPES = auto()
    CLIENT_ADDRESS = auto()
    ALLOW = auto()
    VIOLATED_POLICIES = auto()
    RETRY_AFTER = auto()
    LIMIT = auto()
    REMAINING = auto()
    RESET_AT = auto()


Json = str | int | bool | None
Member = Slot | Json | Mapping[str, "Member"]
Envelope = Mapping[str, Member]
"""A body with slots. Members are written in this order: key order is part of the contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """How a dialect speaks of one reason; what is left empty is found elsewhere.

    Without `code` the dialect's code of the status is used, without `message` the reason's default
    detail, without `status` the verdict's. `naming` replaces `message` when the denial names
    something (scopes, an address, methods), which goes where `{}` stands. `details` are constant
    members in front of the envelope's `details` object. `problem_type` and `title` replace ours
    where a registered problem type fits. `is_exact` says that the vendor's text gives this body
    byte for byte, so that nothing may be added to it.
    """

    code: str = ""
    message: str = ""
    naming: str = ""
    status: int = 0
    details: Mapping[str, Json] = field(default_factory=dict)
    problem_type: str = ""
    title: str = ""
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What the config changes about one reason; empty members (0 for `status`) keep the dialect's.

    `{}` in `message` stands for what the denial names.
    """

    code: str = ""
    message: str = ""
    status: int = 0


class Extras(StrEnum):
    """When a body carries the members of `Definition.extras`.

    The vendors' texts give some bodies byte for byte, and the request id belongs into every body
    that has room for it: by default each answer carries it except those given bodies, whose id
    travels in `X-Request-Id` alone. `ALWAYS` adds it to those too; `NEVER` is for clients that
    refuse any member which the vendor's text does not show.
    """

    UNLESS_EXACT = "unless_exact"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One dialect as data.

    `phrases` are the reasons with words of their own, `codes` the code by status of all others
    (a status without one takes the reason's name). `envelopes` are the statuses whose body has
    another shape than `envelope`. `extras` are the slots that `Extras` switches.
    """

    name: str
    content_type: bytes
    envelope: Envelope
    phrases: Mapping[Reason, Phrase]
    codes: Mapping[int, str] = field(default_factory=dict)
    envelopes: Mapping[int, Envelope] = field(default_factory=dict)
    extras: frozenset[Slot] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the operator tells about the gateway in every answer.

    `realm` goes into challenges: printable ASCII without quotes and backslashes. `docs_url` is
    where the reference lives (`<docs_url>/reasons/<reason>` are the problem types), `support_url`
    where a person gets help; both may be empty.
    """

    realm: str = "tollhouse"
    docs_url: str = ""
    support_url: str = ""


STATUS_TEXTS: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Payload Too Large",
    414: "URI Too Long",
    421: "Misdirected Request",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
"""Texts of statuses. Not `http.HTTPStatus`: its texts differ between versions of Python."""


def snake_codes(**own: str) -> dict[int, str]:
    """Return a lower-case code per status (`not_found`); `own` replaces some (`s429="..."`)."""
    codes = {status: text.lower().replace(" ", "_") for status, text in STATUS_TEXTS.items()}
    return codes | {int(name[1:]): code for name, code in own.items()}
