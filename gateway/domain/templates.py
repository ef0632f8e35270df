"""Key templates: what a kind of key is given when whoever creates it does not say otherwise.

Knows the values only (contractor, CI, analytics ...). It must not know how a key is made from one:
that is the keyring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One kind of key. An empty value leaves the question to the next source: the request, then the
    product's default.

    `expires_after_seconds` counts from creation; None never expires. What a request says in its `metadata` is added to
    the template's.
    """

    name: str
    scopes: tuple[str, ...] = ()
    format: str = ""
    environment: str = ""
    plan: str = ""
    ip_allowlist: tuple[str, ...] = ()
    ip_allowlist_mode: str = ""
    kind: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    expires_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """All templates by name. `default` is used when a key is created with neither scopes nor a
    template.
    """

    by_name: Mapping[str, Template] = field(default_factory=dict)
    default: str = ""

    def __post_init__(self) -> None:
        if self.default and self.default not in self.by_name:
            raise ValueError(
                f"the default template '{self.default}' is not among {sorted(self.by_name)}"
            )
