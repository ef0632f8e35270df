"""Redaction: no secret leaves through a log line.

Knows what a credential looks like in text: our own tokens (`<prefix>_<environment>_<random>`, `tha_<random>`),
`Bearer` and `Basic` credentials, `Authorization` lines, passwords in URLs, and values of query
parameters whose names promise a secret, also when names, values or whole URLs are percent-encoded,
several times over. It prefers to remove too much: a value ends only at `&` or at white space. It
must not know who writes the text, nor any actual secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

MASK: Final = "[redacted]"

TOKEN_RANDOM_MIN: Final = 20
"""Shorter tails are no token of ours; what we print of a key (`sk_live_ab12…wxyz`) stays."""

_RANDOM: Final = re.compile(r"[0-9A-Za-z]{33,}")
"""More than the 32 of an id, less than the 43 of a secret."""

_LIKELY: Final = re.compile(r"(?<=_)(?=[0-9a-z]*[A-Z])(?=[0-9A-Z]*[a-z])[0-9A-Za-z]{33,}")
"""The same behind a prefix, in both cases: neither a hash nor a word of other systems is taken for it."""

ADMIN_PREFIX: Final = "tha_"
"""Admin tokens begin so, whatever formats keys have."""

DECODE_ROUNDS_MAX: Final = 8
"""More layers of percent-encoding than honest clients make; text with more is masked unread."""

SECRET_NAMES: Final = frozenset(
    {
        "auth",
        "authorization",
        "cred",
        "jwt",
        "key",
        "passphrase",
        "passwd",
        "pwd",
        "sid",
        "sig",
    }
)
"""Names of parameters that hold a secret, lower case, letters and digits only."""

SECRET_ENDINGS: Final = (
    "accesskey",
    "apikey",
    "credential",
    "credentials",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "sessionid",
    "signature",
    "token",
)
"""A name that ends so holds a secret, whatever stands before: `X-Amz-Signature`, `access_token`."""

_STEMS: Final = (
    "key",
    "token",
    "secret",
    "pass",
    "auth",
    "sig",
    "cred",
    "pwd",
    "jwt",
    "sid",
    "session",
)
"""Every secret name contains one of these: without them no parameter needs a closer look."""

_PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-./"
_NOTHING_OR_UNDERSCORE: Final = (b"", b"_")
_ADMIN_PREFIX: Final = ADMIN_PREFIX.encode()

_FLAGS: Final = re.ASCII | re.IGNORECASE
# The look-behind lets a name start only behind a delimiter, which keeps the search linear.
_NAME: Final = re.compile(
    r"""(?<![^?&;#\s"'=,(){}\[/:|<>])([^?&;#\s"'=,(){}\[/:|<>]++)=""", re.ASCII
)
_VALUE: Final = re.compile(r"[^&\s]*", re.ASCII)
# A challenge (`WWW-Authenticate: Bearer realm=…`, RFC 6750 section 3) holds no credential.
_SCHEME: Final = re.compile(r"((?:(?:bearer|basic)[\s+:=]++)+)(?!realm=)(?!error=)\S+", _FLAGS)
_HEADER: Final = re.compile(r"""(authorization["']?[ \t]*:[ \t]*)[^\r\n]+""", _FLAGS)
# The password of a data source (RFC 3986 section 3.2.1), as drivers put it in their errors.
_USERINFO: Final = re.compile(r"(://[^\s/@:]*:)[^\s/]+@", re.ASCII)
_ENCODED_RUN: Final = re.compile(r"[^&\s]+", re.ASCII)


class Redactor:
    """Removes whatever looks like a credential from text.

    `formats` are the key formats as (prefix, environments).
    """

    __slots__ = ("_markers", "_token")

    def __init__(self, formats: Iterable[tuple[str, Iterable[str]]]) -> None:
        known = [(prefix, tuple(environments)) for prefix, environments in formats]
        # Lower case: the gate looks at lower-cased text, and a false alarm there costs only time.
        prefixes = tuple(dict.fromkeys(f"{prefix}_".lower() for prefix, _ in known))
        self._markers = (*prefixes, ADMIN_PREFIX, "bearer", "basic", "authorization", "://")
        self._token = _token_pattern(known)

    def redact(self, text: str) -> str:
        """Return `text` without credentials; every character that is not part of one stays."""
        if self._is_suspect(text):
            text = self._scrub(text)
        return _ENCODED_RUN.sub(self._scrub_run, text) if "%" in text else text

    def redact_bytes(self, raw: bytes) -> bytes:
        """Return `raw` without credentials, whatever its encoding."""
        return self.redact(raw.decode("latin-1")).encode("latin-1")

    def _is_suspect(self, text: str) -> bool:
        """Say whether `text` needs a closer look: substring scans only, most text is harmless."""
        lowered = text.lower()
        for marker in self._markers:
            if marker in lowered:
                return True
        if "=" in lowered:
            for stem in _STEMS:
                if stem in lowered:
                    return True
        return False

    def _scrub(self, text: str) -> str:
        """Remove what can be seen without decoding."""
        text = _HEADER.sub(rf"\1{MASK}", text)
        text = _USERINFO.sub(rf"\1{MASK}@", text)
        text = _scrub_parameters(text)
        text = _SCHEME.sub(rf"\1{MASK}", text)
        return self._token.sub(rf"\1{MASK}", text)

    def _scrub_run(self, run: re.Match[str]) -> str:
        """Mask a run (up to `&` or white space) that decodes to text with a credential in it."""
        text = run[0]
        if not self._hides_secret(text):
            return text
        name, equals, _ = text.partition("=")
        return MASK if not equals or self._hides_secret(name) else f"{name}={MASK}"

    def _hides_secret(self, text: str) -> bool:
        for _ in range(DECODE_ROUNDS_MAX):
            decoded = unquote(text, encoding="latin-1")
            if decoded == text:
                return False
            if self._is_suspect(decoded) and self._scrub(decoded) != decoded:
                return True
            text = decoded
        return True


def is_plain(raw: bytes) -> bool:
    """Say whether `raw` lacks what every credential has, so that there is nothing to redact whatever the formats.

    The tokens of keys have two underscores, admin tokens their prefix; whatever else is removed stands behind white
    space, `:`, `=` or `+`, or is percent-encoded.
    """
    return raw.translate(None, _PLAIN) in _NOTHING_OR_UNDERSCORE and _ADMIN_PREFIX not in raw


def without_random(text: str) -> str:
    """Return `text` without whatever could be the random part of a secret of any format.

    For texts to operators, who are told ids and names: none of these holds so many letters and digits in a row.
    """
    return _RANDOM.sub(MASK, text)


def without_secret(text: str) -> str:
    """Return `text`, which somebody wrote to be kept and shown, without the random part of what looks like a secret."""
    return _LIKELY.sub(MASK, text)


def is_secret_name(name: str) -> bool:
    """Say whether a query parameter called `name` (decoded) holds a secret."""
    letters = "".join(filter(str.isalnum, name)).lower()
    return letters in SECRET_NAMES or letters.endswith(SECRET_ENDINGS)


def _scrub_parameters(text: str) -> str:
    if "=" not in text:
        return text
    kept: list[str] = []
    done = 0
    for match in _NAME.finditer(text):
        if match.start() < done or not is_secret_name(match[1]):
            continue
        kept += (text[done : match.end()], MASK)
        done = next(_VALUE.finditer(text, match.end())).end()
    return "".join((*kept, text[done:]))


def _token_pattern(formats: list[tuple[str, tuple[str, ...]]]) -> re.Pattern[str]:
    heads = [
        f"{re.escape(prefix)}_(?:{'|'.join(map(re.escape, environments))})_"
        for prefix, environments in formats
        if environments
    ]
    heads.append(ADMIN_PREFIX)
    # `%` ends no token: its last characters may be percent-encoded.
    return re.compile(rf"({'|'.join(heads)})[A-Za-z0-9]{{{TOKEN_RANDOM_MIN},}}[A-Za-z0-9%]*")
