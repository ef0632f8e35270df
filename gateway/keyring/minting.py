"""How a key comes into being: ids and secrets from randomness, digests from peppers.

Knows that a secret exists only here and in what is handed out once. It must not know the store, nor which key may be
made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.domain.blueprint import Blueprints
from gateway.domain.deliveries import Delivery
from gateway.domain.digest import Peppers
from gateway.domain.enforcement import Enforced
from gateway.domain.key_format import BASE62, KeyFormat, KeyFormats
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyRecord

PUBLIC_ID_LENGTH: Final = 32  # Base62: 190 bits, so ids never collide and cannot be guessed

_COPIED: Final = (
    *("tenant_id", "name", "environment", "scopes", "ip_allowlist", "ip_allowlist_mode", "plan"),
    *("tags", "metadata", "template", "kind", "tenants"),
)
"""What a successor takes over as it is (IV-17): all settings of a key, and nothing of its life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A new key and its secret, which nobody can ever read again. `warnings` are for whoever
    created it.

    With a `delivery` there is no secret yet: `delivery_token` is what its link holds, and as
    secret as the key.
    """

    record: KeyRecord
    secret: str = field(repr=False)
    warnings: tuple[str, ...] = ()
    enforced: Enforced | None = None
    delivery: Delivery | None = None
    delivery_token: str = field(default="", repr=False)


class Mint:
    """Makes keys. `random` returns that many random bytes."""

    def __init__(
        self,
        formats: KeyFormats,
        peppers: Peppers,
        blueprints: Blueprints,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._formats = formats
        self._peppers = peppers
        self._blueprints = blueprints
        self._random = random

    def new_id(self, prefix: str) -> str:
        """Return a new public id that begins with `prefix`."""
        return f"{prefix}_{base62(PUBLIC_ID_LENGTH, self._random)}"

    def token(self, length: int) -> str:
        """Return random Base62 characters."""
        return base62(length, self._random)

    def key(
        self, values: Mapping[str, Any], now: float, *, has_secret: bool = True
    ) -> tuple[KeyRecord, str]:
        """Return a new key with `values` as its fields, and its secret.

        Without a secret it has a digest that nothing hashes to, until `with_secret` gives it one.
        """
        key_format = self._format(values["format"], values["environment"])
        record = KeyRecord(
            **{
                "key_id": self.new_id("key"),
                "lineage_id": self.new_id("lin"),
                "created_at": now,
                "digest": self._random(32),
                "pepper_id": self._peppers.current,
                "display": key_format.placeholder(values["environment"]),
                **values,
                "kind": KeyKind(values["kind"]),
            }
        )
        return self.with_secret(record) if has_secret else (record, "")

    def with_secret(self, record: KeyRecord) -> tuple[KeyRecord, str]:
        """Return `record` with a new secret, and that secret."""
        key_format = self._format(record.format, record.environment)
        secret = key_format.mint(record.environment, self.token(key_format.random_length))
        digest = self._peppers.digest(secret.encode())
        sealed = replace(
            record,
            digest=digest,
            pepper_id=self._peppers.current,
            display=key_format.display(secret),
        )
        return sealed, secret

    def successor(
        self, old: KeyRecord, now: float, expires_at: float | None, *, has_secret: bool = True
    ) -> tuple[KeyRecord, str]:
        """Return a new key of the lineage of `old`, with its settings, and its secret.

        Settings are taken as they are, also those that the config no longer declares: they grant nothing.
        """
        key_format = self._blueprints.minting_format(old.format, old.environment)
        if key_format is None:
            text = f"no format mints keys for environment '{old.environment}', or several do: create one"
            raise Refused([("/format", text)])
        values = {name: getattr(old, name) for name in _COPIED}
        values |= {
            "format": key_format.name,
            "lineage_id": old.lineage_id,
            "expires_at": expires_at,
        }
        return self.key(values, now, has_secret=has_secret)

    def _format(self, name: str, environment: str) -> KeyFormat:
        key_format = self._formats.get(name)
        if (
            key_format is None
            or key_format.is_foreign
            or environment not in key_format.environments
        ):
            text = f"format '{name}' mints no keys for environment '{environment}'"
            raise Refused([("/format", text)])
        return key_format


def base62(length: int, random: Callable[[int], bytes]) -> str:
    """Return random characters, all equally likely: bytes from 248 = 4 * 62 on are thrown away."""
    characters: list[str] = []
    while len(characters) < length:
        characters += [BASE62[byte % 62] for byte in random(length) if byte < 248]
    return "".join(characters[:length])
