"""The shape of a case: what a client sends, what the backend does, and what may come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next bytes, so that those before were read on their own."""

    seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class Said(Pause):
    """Wait until the backend has said all of an answer, however busy the machine is; and then as a `Pause` does."""


Part = bytes | Pause


# ---- what the backend does


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How the backend answers one request.

    `parts` are raw bytes and pauses; empty means the echo: a 200 whose body names what was read. `at` says what must
    have come before: the `head` or the whole `request`. `then` is what follows: `keep` reads the next request, `close`
    ends the connection, `reset` resets it, `hang` reads on and says nothing more.
    """

    parts: tuple[Part, ...] = ()
    at: Literal["head", "request"] = "request"
    then: Literal["keep", "close", "reset", "hang"] = "keep"


ECHO: Final = Reply()
"""The usual answer; it asks to close, so that cases cannot meet on one upstream connection."""


# ---- what may come of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The backend saw exactly this request, and the client got the backend's whole answer to it.

    `fields`: lower-case name to the list of values that the backend saw, in order; an empty list means absent. Fields
    """

    method: bytes = b"GET"
    target: bytes = b"/v1/case"
    body: bytes = b""
    host: bytes | None = None
    fields: Mapping[bytes, list[bytes]] = field(default_factory=dict)
    status: int | None = None
    content: bytes | None = None
    answer_fields: Mapping[bytes, list[bytes]] = field(default_factory=dict)
    interim: tuple[int, ...] | None = None
    closes: bool | None = False
    attempts_max: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The proxy answered with one of `statuses` by itself.

    `closes`: True when the connection must end with it, False when it must go on, None when either is right. `partial`
    allows the backend a beginning of the request, on a connection that ended before the request was whole.
    """

    statuses: frozenset[int]
    closes: bool | None = None
    partial: bool = False
    fields: Mapping[bytes, list[bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The backend saw the request; the proxy answered with one of `statuses` in its place."""

    statuses: frozenset[int] = frozenset({502, 504})
    closes: bool | None = None
    attempts_max: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The backend saw the request, and its answer reached the client in part, visibly broken off.

    `is_silent`: nothing of it reached the client.
    """

    attempts_max: int = 1
    is_silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The client got one of `statuses`, whoever gave it."""

    statuses: frozenset[int]
    fields: Mapping[bytes, list[bytes]] = field(default_factory=dict)
    closes: bool | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection ended without an answer; the backend saw no whole request."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing happened: no answer, no end; the backend saw no whole request."""


Step = Passed | Refused | Failed | Cut | Answered | Dropped | Silent
Story = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `accepts` are the stories of its own requests; that of the probe is added by the judge."""

    id: str
    why: str
    sends: tuple[Part, ...]
    accepts: tuple[Story, ...]
    backend: tuple[Reply, ...] = (ECHO,)
    probe: bool = True
    ends: Literal["waits", "half-closes", "closes"] = "waits"
    splits: bool = True

    @property
    def raw(self) -> bytes:
        """Return all bytes that are sent."""
        return b"".join(part for part in self.sends if isinstance(part, bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cases of one kind. `is_policy` when they test a decision of ours that no RFC asks of other proxies."""

    name: str
    title: str
    cases: tuple[Case, ...]
    is_policy: bool = False
