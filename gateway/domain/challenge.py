"""The `WWW-Authenticate` challenge of a refusal (RFC 6750 section 3, RFC 9110 section 11.6.1).

Knows which answers carry a challenge and which error code stands in it. It must not know dialects:
the description is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.domain.denial import Reason

_ERRORS: Final[Mapping[Reason, str]] = {
    # A request without any credential is told nothing but the scheme (RFC 6750 section 3.1).
    Reason.MISSING_CREDENTIALS: "",
    Reason.DUPLICATE_CREDENTIALS: "invalid_request",
    Reason.INSUFFICIENT_SCOPE: "insufficient_scope",
}


def challenge(reason: Reason, status: int, realm: str, description: str) -> bytes | None:
    """Return the challenge of an answer, or None when it carries none.

    Every 401 and 403 has one, whatever the reason; of the others only a request with more than one
    credential. A 401 is `invalid_token` unless its reason has another code. A 403 for a reason
    other than scope has no code: none of RFC 6750's says that an address or an environment is
    wrong, and `insufficient_scope` would send a client to ask for scopes that do not help.
    `ValueError` when `realm` is not printable ASCII or has a quote or backslash.
    """
    if status not in (401, 403) and reason is not Reason.DUPLICATE_CREDENTIALS:
        return None
    if _attribute(realm) != realm:
        raise ValueError(f"realm {realm!r}: use printable ASCII without quotes and backslashes")
    error = _ERRORS.get(reason, "invalid_token" if status == 401 else "")
    text = f'Bearer realm="{realm}"'
    if error:
        text += f', error="{error}", error_description="{_attribute(description)}"'
    return text.encode("ascii")


def with_scope(base: bytes, scopes: Iterable[str]) -> bytes:
    """Return challenge `base` with the scopes that would have been enough, space-separated."""
    return base + b', scope="' + _attribute(" ".join(scopes)).encode("ascii") + b'"'


def _attribute(text: str) -> str:
    # RFC 6750 section 3 allows %x20-21 / %x23-5B / %x5D-7E in a value, so nothing needs an escape.
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)
