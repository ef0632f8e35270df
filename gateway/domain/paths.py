"""How a request path may be read, and what is suspicious about it.

Scopes are decided on the path, so every difference between our reading of a path and the upstream's
is a way around them. This room knows the two answers to that: `read_path` names everything in a raw
path that servers read differently (its `Quirk`s), and `readings` lists the other things that such a
path may mean. It must not know routes: whether a quirk is tolerated, and whether all readings lead
to one route, is decided in `routes`.

Text form. A path's text is percent-decoded once, except `%2F` and `%25`, which stay as they are (in
upper case). So `/` always separates segments, `%` is always the start of one of these two escapes,
and the segments of the text stand in the same places as the segments of the raw path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntFlag
from typing import Final, NamedTuple
from unicodedata import normalize
from urllib.parse import unquote_to_bytes


class Quirk(IntFlag):
    """One thing about a path that servers do not agree upon.

    Three classes: `NEVER` is refused whatever a route says, `OPTIONAL` is refused unless the route
    allows it, and the rest (`FOLDABLE`, `NEEDLESS_ESCAPE`, `ENCODED_DELIMITER`) is ordinary but has
    more than one reading.
    """

    MALFORMED = 1 << 0  # no leading slash, or a raw space, `?` or `#` (RFC 9112 section 3.2.1)
    BAD_ESCAPE = 1 << 1  # `%` without two hex digits, or an escape nested more than twice
    NON_ASCII = 1 << 2  # raw bytes above 0x7F
    INVALID_UTF8 = 1 << 3  # escapes that are no UTF-8, among them overlong forms of `/` and `.`
    CONTROL = 1 << 4  # NUL, C0, DEL or C1, raw or encoded
    BACKSLASH = 1 << 5  # read as `/` by Windows servers
    DOT_SEGMENT = 1 << 6  # a segment of dots (and spaces): `.`, `..`, `..;x`, `.. `
    LOOKALIKE = (
        1 << 7
    )  # a character that Unicode normalisation or best-fit mapping turns into a delimiter
    ENCODED_SLASH = 1 << 8  # `%2F`
    EMPTY_SEGMENT = 1 << 9  # `//`
    PARAMETER = 1 << 10  # `;`, raw or encoded: Java servers cut it off
    DOUBLE_ENCODED = 1 << 11  # `%25` and two hex digits
    TRAILING_DOT = 1 << 12  # a segment that ends in a dot or a space: Windows cuts them off
    FOLDABLE = 1 << 13  # not in case-folded NFKC form, such as a path with upper-case letters
    NEEDLESS_ESCAPE = (
        1 << 14
    )  # an escape of a character that needs none: some routers match it undecoded
    ENCODED_DELIMITER = (
        1 << 15
    )  # `%3F` or `%23`: ends the path for servers that decode first and split then


NEVER: Final = int(
    Quirk.MALFORMED | Quirk.BAD_ESCAPE | Quirk.NON_ASCII | Quirk.INVALID_UTF8
    | Quirk.CONTROL | Quirk.BACKSLASH | Quirk.DOT_SEGMENT | Quirk.LOOKALIKE
)  # fmt: skip
"""Bits of the quirks that no route can allow."""

QUIRK_NAMES: Final[dict[str, Quirk]] = {
    "encoded_slash": Quirk.ENCODED_SLASH,
    "empty_segments": Quirk.EMPTY_SEGMENT,
    "parameters": Quirk.PARAMETER,
    "double_encoding": Quirk.DOUBLE_ENCODED,
    "trailing_dot": Quirk.TRAILING_DOT,
}
"""The quirks that a route may allow, by their name in the configuration."""

OPTIONAL: Final = sum(int(quirk) for quirk in QUIRK_NAMES.values())
"""Bits of the quirks that a route may allow."""


class PathReading(NamedTuple):
    """A path's text (see the module) and the bits of its quirks; 0 for a clean path."""

    path: str
    quirks: int


_PLAIN: Final = r"A-Za-z0-9_~!$&'()*+,=:@\-"
_CLEAN: Final = re.compile(rf"(?:/[{_PLAIN}.]++(?<!\.))*+/?".encode())
_NEEDLESS: Final = re.compile(
    b"%("
    + b"|".join(
        b"%02X" % code for code in range(0x80) if re.match(rf"[{_PLAIN}.;]", chr(code)) is not None
    )
    + b")",
    re.IGNORECASE,
)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MALFORMED: Final = re.compile(rb"[ ?#]|^(?!/)")
_KEPT: Final = re.compile(rb"%(25|2[Ff])")
_NESTED: Final = re.compile(r"%25[0-9A-Fa-f]{2}")
_STRUCTURE: Final = r"/\.;%?#"
_BEST_FIT: Final = re.compile(
    "[\u2044\u2215\u2216\u29f5\u29f8\u29f9]"
)  # kinds of slashes without decomposition
_SEGMENT_END: Final = r"(?:[;/?#]|$)"

_SIGNS: Final[tuple[tuple[int, re.Pattern[str]], ...]] = (
    (Quirk.CONTROL.value, re.compile(r"[\x00-\x1f\x7f-\x9f]")),
    (Quirk.BACKSLASH.value, re.compile(r"\\")),
    (Quirk.DOT_SEGMENT.value, re.compile(rf"/ *\.[. ]*{_SEGMENT_END}")),
    (Quirk.EMPTY_SEGMENT.value, re.compile(r"/ *(?:;[^/]*)?(?=/)")),
    (Quirk.PARAMETER.value, re.compile(r";")),
    (Quirk.TRAILING_DOT.value, re.compile(rf"[. ]{_SEGMENT_END}")),
    (Quirk.ENCODED_DELIMITER.value, re.compile(r"[?#]")),
)
"""What to look for in a text after opening encoded slashes and normalising characters."""


def fold(text: str) -> str:
    """Return `text` as a server that ignores case and Unicode forms compares it."""
    if text.isascii():
        return text.lower()
    # `upper` first: it is the one that maps dotless i and long s to ASCII.
    return normalize("NFKC", text).upper().casefold()


def read_path(raw: bytes) -> PathReading:
    """Read a raw path (no query) into its text and its quirks.

    With a quirk of `NEVER` the text is for the log only. Pure: it may be remembered per distinct
    path.
    """
    if raw[:1] == b"/" and _CLEAN.fullmatch(raw) is not None:
        path = raw.decode("ascii")
        return PathReading(path, 0 if path == path.lower() else Quirk.FOLDABLE.value)
    quirks = _read_bytes(raw)
    if quirks & NEVER:
        return PathReading(raw.decode("latin-1"), quirks)
    try:
        path = _decode(raw)
        quirks |= _inspect(path)
        if quirks & Quirk.DOUBLE_ENCODED.value:
            again = _decode_again(path)
            found = _inspect(again)
            quirks |= found
            if found & Quirk.DOUBLE_ENCODED.value:
                quirks |= Quirk.BAD_ESCAPE.value
    except UnicodeDecodeError:
        return PathReading(raw.decode("latin-1"), quirks | Quirk.INVALID_UTF8.value)
    return PathReading(path, quirks)


def _read_bytes(raw: bytes) -> int:
    quirks = 0
    if not raw.isascii():
        quirks |= Quirk.NON_ASCII.value
    if _MALFORMED.search(raw) is not None:
        quirks |= Quirk.MALFORMED.value
    if _BAD_ESCAPE.search(raw) is not None:
        quirks |= Quirk.BAD_ESCAPE.value
    if _NEEDLESS.search(raw) is not None:
        quirks |= Quirk.NEEDLESS_ESCAPE.value
    return quirks


def _decode(raw: bytes) -> str:
    """Turn a raw path into its text form."""
    return unquote_to_bytes(_KEPT.sub(lambda kept: b"%25" + kept[1].upper(), raw)).decode("utf-8")


def _decode_again(text: str) -> str:
    """Return what a server makes of a text that it decodes a second time."""
    return _decode(text.replace("%25", "%").encode())


def _undecoded(raw: bytes) -> str:
    """Return the text for a server that leaves escapes alone that were not needed."""
    return _decode(_NEEDLESS.sub(rb"%25\1", raw))


def _inspect(text: str) -> int:
    quirks = 0
    if "%2F" in text:
        quirks |= Quirk.ENCODED_SLASH.value
    if _NESTED.search(text) is not None:
        quirks |= Quirk.DOUBLE_ENCODED.value
    opened = text.replace("%2F", "/")
    if not text.isascii():
        plain = normalize("NFKC", text)
        if _BEST_FIT.search(text) is not None or any(
            plain.count(mark) != text.count(mark) for mark in _STRUCTURE
        ):
            quirks |= Quirk.LOOKALIKE.value
        text = plain
    text = text.replace("%2F", "/")
    for quirk, sign in _SIGNS:
        if sign.search(text) is not None:
            quirks |= quirk
    if fold(opened) != opened:  # as it came: what is normalised already has lost that it was not
        quirks |= Quirk.FOLDABLE.value
    return quirks


_PARAMETERS: Final = re.compile(rb";[^/]*")
"""Parameters of a raw path: to a server that cuts them off before it decodes, an escaped slash ends none."""

_STEPS: Final[tuple[tuple[int, Callable[[str], str]], ...]] = (
    (Quirk.DOUBLE_ENCODED.value, _decode_again),
    (Quirk.ENCODED_SLASH.value, lambda text: text.replace("%2F", "/")),
    (Quirk.ENCODED_DELIMITER.value, lambda text: re.split(r"[?#]", text, maxsplit=1)[0]),
    (Quirk.PARAMETER.value, lambda text: re.sub(r";[^/]*", "", text)),
    (Quirk.TRAILING_DOT.value, lambda text: "/".join(s.rstrip(". ") for s in text.split("/"))),
    (Quirk.EMPTY_SEGMENT.value, lambda text: re.sub(r"//+", "/", text)),
)
"""What a server may do to a path, in the order in which servers do it."""


def readings(path: str, raw: bytes, quirks: int) -> dict[str, bool]:
    """Return every text that some server may make of a path that `read_path` read, `path` first.

    Each step of reading may happen or not, independently; folding is not among them (look up `fold`
    of each text). The value tells whether the text comes from quirks of `OPTIONAL`, which an
    operator vouched for. At most 256 texts, and one for nearly every path.
    """
    texts = {path: False}
    if not quirks & ~Quirk.FOLDABLE.value:
        return texts
    has_needless = bool(quirks & Quirk.NEEDLESS_ESCAPE.value)
    if has_needless:
        texts[_undecoded(raw)] = False
    if b";" in raw:
        cut = _PARAMETERS.sub(b"", raw)
        for text in (_decode(cut), _undecoded(cut)) if has_needless else (_decode(cut),):
            texts.setdefault(text, True)
    for quirk, step in _STEPS:
        if quirks & quirk:
            is_vouched = bool(quirk & OPTIONAL)
            for text, was_vouched in tuple(texts.items()):
                read = step(text)
                texts[read] = texts.get(read, True) and (was_vouched or is_vouched)
    return texts
