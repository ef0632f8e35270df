"""The shape of a token: `<prefix>_<environment>_<random><checksum>`.

Knows how a token is put together and told apart from noise without asking anyone. The checksum
filters typing errors and scans; it is no protection. It must not know whether a key exists, and it
makes no randomness: who mints brings it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log2
from typing import Final
from zlib import crc32

from gateway.domain.denial import Reason

BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM_LENGTH: Final = 6  # 62**5 < 2**32 < 62**6
TOKEN_LENGTH_MAX: Final = 512  # ends the work of hashing before it begins
RANDOM_LENGTH_MIN: Final = 22  # 131 bits: no search of the space succeeds
_SHOWN: Final = 4

_B64TOKEN: Final = BASE62.encode() + b"-._~+/"  # RFC 6750 section 2.1, before the trailing "="
_PAIRS: Final = tuple((high + low).encode() for high in BASE62 for low in BASE62)
_PREFIX: Final = re.compile(r"[a-z0-9]{2,10}")
_ENVIRONMENT: Final = re.compile(r"[a-z0-9]{1,20}")


def checksum(text: bytes) -> bytes:
    """Return the CRC-32 of `text` in Base62, padded to 6 characters."""
    rest, low = divmod(crc32(text), 3844)
    high, middle = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def variable_name(format_name: str) -> str:
    """Return the environment variable in which a key of this format is kept, unless its tenant has another."""
    return re.sub(r"[^A-Z0-9]", "_", f"{format_name}_api_key".upper())


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """One profile of tokens.

    `random_length` counts Base62 characters. With an empty `prefix` (and no checksum) it stands for
    tokens that others minted: any b64token of RFC 6750, whose `environments` are only those that
    its keys may be given.
    """

    name: str
    prefix: str
    environments: tuple[str, ...]
    random_length: int = 43
    has_checksum: bool = True

    def __post_init__(self) -> None:
        where = f"key format '{self.name}'"
        if not self.environments:
            raise ValueError(f"{where}: needs at least one environment")
        for environment in self.environments:
            if not _ENVIRONMENT.fullmatch(environment):
                raise ValueError(
                    f"{where}: environment '{environment}' is not 1 to 20 of a-z and 0-9"
                )
        if self.is_foreign:
            if self.has_checksum:
                raise ValueError(f"{where}: tokens without a prefix cannot have a checksum")
            return
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"{where}: prefix '{self.prefix}' is not 2 to 10 of a-z and 0-9")
        longest = max(len(self._head(environment)) for environment in self.environments)
        if (
            not RANDOM_LENGTH_MIN
            <= self.random_length
            <= TOKEN_LENGTH_MAX - longest - CHECKSUM_LENGTH
        ):
            raise ValueError(
                f"{where}: {self.random_length} random characters; {RANDOM_LENGTH_MIN} is the least"
            )

    @property
    def is_foreign(self) -> bool:
        """Tell whether the format only accepts imported tokens and cannot mint."""
        return not self.prefix

    @property
    def entropy_bits(self) -> float:
        """Return how many bits an attacker has to guess (0 for foreign tokens: nobody knows)."""
        return 0.0 if self.is_foreign else self.random_length * log2(62)

    def mint(self, environment: str, random_characters: str) -> str:
        """Put a token together from `random_length` Base62 characters. Raises `ValueError` when
        they do not fit.
        """
        if self.is_foreign or environment not in self.environments:
            raise ValueError(
                f"key format '{self.name}' mints no keys for environment '{environment}'"
            )
        if len(random_characters) != self.random_length or not _is_base62(
            random_characters.encode()
        ):
            raise ValueError(
                f"key format '{self.name}' needs {self.random_length} Base62 characters"
            )
        body = self._head(environment) + random_characters
        return body + checksum(body.encode()).decode() if self.has_checksum else body

    def display(self, token: str) -> str:
        """Return what a person may see of `token`: the first characters up to 4 random ones, and
        the last 4.

        Of a minted token that hides all but 4 random characters (the last 4 belong to the checksum,
        where there is one); of a foreign one at least three quarters.
        """
        head, _, body = ("", "", token) if self.is_foreign else token.rpartition("_")
        shown = min(_SHOWN, len(body) // 8)
        start = f"{head}_{body[:shown]}" if head else body[:shown]
        return f"{start}…{body[len(body) - shown :]}"

    def placeholder(self, environment: str) -> str:
        """Return what a person sees of a key whose secret is yet to be made."""
        return f"{self._head(environment)}…"

    def _head(self, environment: str) -> str:
        return f"{self.prefix}_{environment}_"


class ReadToken:
    """What a token says about itself: the name of its format, and its environment (empty: a foreign
    token tells none).
    """

    __slots__ = ("environment", "format")

    def __init__(self, format: str, environment: str) -> None:  # noqa: A002 - the field's word
        self.format = format
        self.environment = environment

    def __repr__(self) -> str:
        return f"ReadToken(format={self.format!r}, environment={self.environment!r})"


class KeyFormats:
    """All formats of the config, ready to read any token in about a microsecond."""

    __slots__ = ("_by_name", "_foreign", "_heads")

    def __init__(self, formats: Iterable[KeyFormat]) -> None:
        """Index `formats`. Raises `ValueError` when two share a name or the head of a token."""
        self._by_name: dict[str, KeyFormat] = {}
        self._foreign: ReadToken | None = None
        self._heads: dict[bytes, tuple[ReadToken, int, bool]] = {}
        for each in formats:
            if each.name in self._by_name:
                raise ValueError(f"key format '{each.name}' is declared twice")
            self._by_name[each.name] = each
            self._index(each)

    def _index(self, each: KeyFormat) -> None:
        if each.is_foreign:
            if self._foreign is not None:
                raise ValueError(
                    f"key formats '{self._foreign.format}' and '{each.name}' both have no prefix"
                )
            self._foreign = ReadToken(each.name, "")
            return
        length = each.random_length + (CHECKSUM_LENGTH if each.has_checksum else 0)
        for environment in each.environments:
            head = f"{each.prefix}_{environment}".encode()
            if head in self._heads:
                other = self._heads[head][0].format
                raise ValueError(
                    f"key formats '{other}' and '{each.name}' share '{head.decode()}_'"
                )
            self._heads[head] = (ReadToken(each.name, environment), length, each.has_checksum)

    def __iter__(self) -> Iterator[KeyFormat]:
        return iter(self._by_name.values())

    def get(self, name: str) -> KeyFormat | None:
        """Return the format called `name`, or None."""
        return self._by_name.get(name)

    def read(self, token: bytes) -> ReadToken | Reason:
        """Tell which format `token` has, or why it cannot be a key of this gateway. Pure; asks no
        store.

        A token of a declared prefix and environment must have its length and checksum. With a
        foreign format declared, one of another length is taken for an imported token, because its
        issuer may have used the same prefix.
        """
        head, _, body = token.rpartition(b"_")
        known = self._heads.get(head)
        if known is not None and len(body) == known[1] and body.isalnum():
            if not known[2] or checksum(token[:-CHECKSUM_LENGTH]) == token[-CHECKSUM_LENGTH:]:
                return known[0]
            return Reason.BAD_CHECKSUM
        if self._foreign is not None and _is_b64token(token):
            return self._foreign
        is_damaged = (
            known is not None and known[2] and len(token) <= TOKEN_LENGTH_MAX and _is_base62(body)
        )
        return Reason.BAD_CHECKSUM if is_damaged else Reason.MALFORMED_CREDENTIALS


def _is_base62(text: bytes) -> bool:
    return text.isalnum()  # of bytes: ASCII letters and digits only


def _is_b64token(token: bytes) -> bool:
    """Tell whether `token` is a b64token (RFC 6750 section 2.1) of at most 512 characters."""
    core = token.rstrip(b"=")
    return bool(core) and len(token) <= TOKEN_LENGTH_MAX and not core.translate(None, _B64TOKEN)
