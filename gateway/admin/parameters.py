"""The parameters of the admin API beside bodies, as JSON schemas, by name: one name means one thing everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.admin.requests import DRY_RUN, LIMIT_DEFAULT, LIMIT_MAX
from gateway.domain.keys import KeyKind, KeyState

PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    "cursor": {"type": "string", "description": "The `next_cursor` of the page before."},
    "q": {"type": "string", "description": "Part of a name, an id, or a display text."},
    "with_hidden": {"type": "boolean", "default": False},
    "state": {"enum": [str(each) for each in KeyState]},
    "kind": {"enum": [str(each) for each in KeyKind]},
    DRY_RUN: {
        "type": "boolean",
        "default": False,
        "description": "Go as far as possible without changing anything; the answer says so.",
    },
}
"""Query parameters; those that are missing here are texts."""

HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "If-Match": {
        "type": "string",
        "pattern": r'^("[0-9]{1,15}"|\*)$',
        "description": "The `ETag` of the record as it was read: another revision is not changed.",
    },
    "Idempotency-Key": {
        "type": "string",
        "pattern": "^[ -~]{1,255}$",
        "description": "Chosen by the sender: the same request with it makes one thing, for a day.",
    },
    "ETag": {"type": "string", "pattern": '^"[0-9]+"$'},
    "Location": {"type": "string"},
}
