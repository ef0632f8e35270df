"""Rate-limit headers: how the standings of a request's buckets look in each header profile.

Knows the profiles' field names and which number each field carries. It must not know how the
numbers came about, nor `Retry-After`: that field belongs to the dialect. Both take the seconds from
the same denial, so they never disagree.

Profiles (each can be combined with the others; `jobhive` and `instaview` promise their fields on
all responses, so they have them also where no bucket of a key was asked):

- `jobhive`: `X-RateLimit-*` of the most restrictive bucket; reset in epoch seconds, `-Retry-After`
  in seconds.
- `instaview`: `X-RateLimit-*-<Window>` for each window that has a name; reset in epoch seconds.
- `draft`: the Structured Fields `RateLimit-Policy`, all policies, and `RateLimit`, the most
  restrictive bucket (draft-ietf-httpapi-ratelimit-headers-10).
- `draft03`: `RateLimit-Limit`, `-Remaining`, `-Reset` of the most restrictive bucket; reset in
  seconds.
- `off`: nothing; fields of the upstream pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from operator import itemgetter
from typing import Final, Protocol

from gateway.domain.limits import Claim, Grant, Quota, Rate, Rule, Standing

_LIMIT, _REMAINING, _RESET_IN, _RESET_AT, _WAIT = range(5)
"""What a field may carry; `_RESET_IN` and `_WAIT` are seconds, `_RESET_AT` is an epoch second."""

_Numbers = tuple[int, int, int, int, int]
_Fields = tuple[tuple[str, int], ...]

_JOBHIVE: Final[_Fields] = (
    ("X-RateLimit-Limit", _LIMIT),
    ("X-RateLimit-Remaining", _REMAINING),
    ("X-RateLimit-Reset", _RESET_AT),
    ("X-RateLimit-Retry-After", _WAIT),
)
_DRAFT03: Final[_Fields] = (
    ("RateLimit-Limit", _LIMIT),
    ("RateLimit-Remaining", _REMAINING),
    ("RateLimit-Reset", _RESET_IN),
)
_INSTAVIEW: Final[_Fields] = (
    ("X-RateLimit-Limit", _LIMIT),
    ("X-RateLimit-Remaining", _REMAINING),
    ("X-RateLimit-Reset", _RESET_AT),
)
_RATE_WINDOWS: Final = {1: "Second", 60: "Minute", 3600: "Hour", 86400: "Day"}
_QUOTA_WINDOWS: Final = {"hour": "Hour", "day": "Day", "month": "Month"}
_WINDOWS: Final = ("Second", "Minute", "Hour", "Day", "Month")
_PERIOD_SECONDS: Final = {"hour": 3600, "day": 86400, "month": 2592000}


_REMEMBERED_MAX: Final = 10_000


class _View:
    """The standings of one response, with what turns them into numbers.

    `first` is the most restrictive one; `wait` is the response's `Retry-After`; `at` and `now` are the epoch seconds of
    the measurement and of the response.
    """

    __slots__ = ("_age", "_at", "_wait", "first", "grant")

    def __init__(self, grant: Grant, first: Standing, wait: int, at: float, now: float) -> None:
        self.grant = grant
        self.first = first
        self._wait = wait
        self._at = at
        self._age = int(now - at) if now > at else 0

    def left(self, standing: Standing) -> int:
        """Return the seconds until a standing is reset: of what refused, until the retry."""
        if standing is self.first and self.grant.refused is not None:
            return self._wait
        left = standing.reset_seconds - self._age
        return left if left > 0 else 0  # noqa: FURB136 - max() takes three times as long

    def numbers(self, standing: Standing) -> _Numbers:
        """Return the numbers of one standing, in the order of `_LIMIT` to `_WAIT`."""
        rule = standing.claim.rule
        left = self.left(standing)
        is_refusing = standing is self.first and self.grant.refused is not None
        reset = left if is_refusing else standing.reset_seconds
        # A period ends on a whole second; a bucket is full at a fraction of one: round up.
        since = int(self._at) if rule.__class__ is Quota else ceil(self._at)
        return rule.limit, standing.remaining, left, since + reset, self._wait or left


class _Profile(Protocol):
    names: tuple[str, ...]

    @property
    def promised(self) -> _Template | None:
        """What tells of a limit per minute on responses that no bucket stands behind; None promises nothing."""
        ...

    def render(self, view: _View) -> bytes: ...


class _Template:
    """A block of fields, compiled to one format operation."""

    __slots__ = ("_is_promised", "_pick", "_text", "names")

    def __init__(self, fields: _Fields, suffix: str = "", *, is_promised: bool = False) -> None:
        self._is_promised = is_promised
        self.names = tuple(name + suffix for name, _ in fields)
        self._text = "".join(f"{name}: %d\r\n" for name in self.names).encode("ascii")
        self._pick: Callable[[_Numbers], tuple[int, ...]] = itemgetter(*(n for _, n in fields))

    @property
    def promised(self) -> _Template | None:
        return self if self._is_promised else None

    def render(self, view: _View) -> bytes:
        return self.write(view.numbers(view.first))

    def write(self, numbers: _Numbers) -> bytes:
        return self._text % self._pick(numbers)


class _Windowed:
    """The same block of fields for each window, with the window's name after the field's.

    Two buckets of one window are told by the more restrictive one.
    """

    __slots__ = ("_templates", "names")

    def __init__(self, fields: _Fields) -> None:
        self._templates = {window: _Template(fields, f"-{window}") for window in _WINDOWS}
        self.names = tuple(name for part in self._templates.values() for name in part.names)

    def render(self, view: _View) -> bytes:
        blocks: dict[str, bytes] = {}
        for standing in view.grant.standings:
            window = _window_of(standing.claim.rule)
            if window and window not in blocks:
                blocks[window] = self._templates[window].write(view.numbers(standing))
        return b"".join(blocks.values())

    @property
    def promised(self) -> _Template | None:
        return self._templates["Minute"]


def policy_name(claim: Claim) -> str:
    """Return what a claim is called in `RateLimit-Policy` and in `violated-policies` of an error."""
    return claim.rule.name if claim.owner == "lineage" else f"{claim.owner}-{claim.rule.name}"


class _Draft:
    """Two lists of Structured Fields: the policy of every bucket, and how the most restrictive one
    stands.

    The draft leaves it to the server which policies `RateLimit` tells about; one is what a client
    acts on.
    """

    __slots__ = ("_fields_of", "_members", "names")

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ("RateLimit-Policy", "RateLimit")
        # Policies come from the config, so this stays small. A reload may bring another rule under
        # the same name: the rule that a member was made of is kept with it.
        self._members: dict[str, tuple[Rule, bytes, bytes]] = {}
        # By identity, since hashing claims costs more than writing them; the claims are kept with
        # the field, so that an identity cannot be given to others meanwhile.
        self._fields_of: dict[int, tuple[tuple[Claim, ...], bytes]] = {}

    def render(self, view: _View) -> bytes:
        first = view.first
        return b"%b%b%d;t=%d\r\n" % (
            self._policies(view.grant.claims),
            self._member(first.claim)[2],
            first.remaining,
            view.left(first),
        )

    @property
    def promised(self) -> _Template | None:
        return None

    def _policies(self, claims: tuple[Claim, ...]) -> bytes:
        """Return the field with all policies and the begin of the next one, remembered for a key's claims."""
        memo = self._fields_of.get(id(claims))
        if memo is not None and memo[0] is claims:
            return memo[1]
        policies = b", ".join([self._member(claim)[1] for claim in claims])
        field = b"RateLimit-Policy: %b\r\nRateLimit: " % policies
        if len(self._fields_of) >= _REMEMBERED_MAX:
            self._fields_of.clear()
        self._fields_of[id(claims)] = (claims, field)
        return field

    def _member(self, claim: Claim) -> tuple[Rule, bytes, bytes]:
        member = self._members.get(claim.owned_policy)
        if member is None or member[0] is not claim.rule:
            member = self._prepare(claim)
        return member

    def _prepare(self, claim: Claim) -> tuple[Rule, bytes, bytes]:
        rule = claim.rule
        name = _quoted(policy_name(claim))
        policy = f"{name};q={rule.limit}"
        if isinstance(rule, Rate):
            policy += f";w={rule.window_seconds}"
        elif isinstance(rule, Quota):
            policy += f";w={_PERIOD_SECONDS[rule.period]}"
        else:
            policy += ';qu="concurrent-requests"'
        member = (rule, policy.encode("ascii"), f"{name};r=".encode("ascii"))
        self._members[claim.owned_policy] = member
        return member


def _window_of(rule: Rule) -> str:
    if isinstance(rule, Rate):
        return _RATE_WINDOWS.get(rule.window_seconds, "")
    return _QUOTA_WINDOWS[rule.period] if isinstance(rule, Quota) else ""


def _quoted(text: str) -> str:
    """Return `text` as a String (RFC 9651 section 3.3.3); what it can't hold becomes `?`."""
    safe = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


_PROFILES: Final[dict[str, Callable[[], _Profile]]] = {
    "jobhive": lambda: _Template(_JOBHIVE, is_promised=True),
    "instaview": lambda: _Windowed(_INSTAVIEW),
    "draft": _Draft,
    "draft03": lambda: _Template(_DRAFT03),
}

PROFILES: Final = (*_PROFILES, "off")
"""The names of all profiles."""


class RateHeaders:
    """Renders the header profiles that a gateway is configured with, in the given order.

    `names` are the lower-case field names that belong to the gateway: remove them from upstream
    responses. `is_promised` tells whether a profile has its fields on all responses, `is_off` that there is no profile.
    Raises `ValueError` for a name that is not in `PROFILES`, and for `off` together with
    another one.
    """

    __slots__ = ("_fields", "_profiles", "_promised", "is_off", "is_promised", "names")

    def __init__(self, profiles: Iterable[str]) -> None:
        chosen = tuple(dict.fromkeys(profiles))
        for name in chosen:
            if name not in PROFILES:
                raise ValueError(f"unknown rate header profile {name!r}: use {', '.join(PROFILES)}")
        if "off" in chosen and len(chosen) > 1:
            raise ValueError("rate header profile 'off' stands alone: remove it or the others")
        self._profiles = tuple(_PROFILES[name]() for name in chosen if name != "off")
        self._promised = tuple(
            profile.promised for profile in self._profiles if profile.promised is not None
        )
        self.is_off = not self._profiles
        self.is_promised = bool(self._promised)
        self._fields = tuple(name for profile in self._profiles for name in profile.names)
        self.names = frozenset(name.lower().encode("ascii") for name in self._fields)

    def expose_names(self) -> tuple[str, ...]:
        """Return the field names for `Access-Control-Expose-Headers`.

        `Retry-After` is not among them: it is the dialect's.
        """
        return self._fields

    def render(self, grant: Grant | None, denial_retry_after: int, now: float) -> bytes:
        """Return the fields of one response as `Name: value` lines, each ended by CR LF.

        `denial_retry_after` is the `Retry-After` of the response, 0 without one. `now` is the epoch
        second at which the response begins: the standings of a long request have aged by then.
        Empty when there is no rate or quota to tell about.
        """
        if grant is None or not self._profiles:
            return b""
        first = grant.tightest
        if first is None:
            return b""
        wait = denial_retry_after or grant.retry_after_seconds
        view = _View(grant, first, wait, grant.measured_at or now, now)
        if len(self._profiles) == 1:
            return self._profiles[0].render(view)
        return b"".join([profile.render(view) for profile in self._profiles])

    def render_fallback(
        self, limit: int, remaining: int, reset_seconds: int, retry_after: int, now: float
    ) -> bytes:
        """Return the fields of a response that no bucket of a key stands behind.

        Empty but for profiles that promise their fields on all responses. The numbers are told as those of a
        limit per minute; `retry_after` is the response's `Retry-After`, 0 without one, else the
        numbers are those of a refusal.
        """
        left = retry_after or max(0, reset_seconds)
        numbers = (limit, remaining, left, ceil(now) + left, left)
        return b"".join([template.write(numbers) for template in self._promised])
