"""A keyring on a memory store, and everything that it told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from gateway.domain.blueprint import KeyWish
from gateway.domain.change import Change, ChangeType
from gateway.domain.digest import Peppers
from gateway.domain.enforcement import Enforced
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.keys import KeyRecord
from gateway.domain.policies import NO_RULES, PolicyRules
from gateway.domain.streams import Condemn
from gateway.domain.templates import Template, Templates
from gateway.keyring.door import Keyring
from gateway.keyring.minting import Minted
from gateway.ports import KeyStore, Record, Write
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock
from tests.key_samples import HIREPANDA, ORDER

DAY = 86_400.0
FORMATS = KeyFormats(
    (
        KeyFormat("sk", "sk", ("live", "test")),
        KeyFormat("imported", "", ("live",), has_checksum=False),
    )
)
PEPPERS = Peppers("p2", {"p1": b"1" * 32, "p2": b"2" * 32})
TEMPLATES = Templates(
    by_name={
        "ci": Template(name="ci", scopes=("read",), environment="test"),
        "all": Template(name="all", scopes=("admin",), environment="live"),
        "ats": Template(name="ats", scopes=("read",), environment="live", kind="multi_tenant"),
    }
)


class Heard:
    """A store that is heard: what its commits tell stands in `changes`, too."""

    def __init__(self, store: KeyStore, changes: list[Change]) -> None:
        self._store = store
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        written = await self._store.commit(writes, changes)
        self._changes += changes
        return written


class House:
    """A keyring on a memory store, and everything that it told."""

    store: Any

    def __init__(
        self,
        store: KeyStore | None = None,
        *,
        policies: PolicyRules = NO_RULES,
        clock: FakeClock | None = None,
        declared_tenants: Collection[str] = (),
    ) -> None:
        self.store = store or MemoryStore()
        self.clock = clock or FakeClock()
        self.changes: list[Change] = []
        self.invalidated: list[str] = []
        self.condemned: list[Condemn | None] = []
        self.closing = 0
        """Streams that each change is said to have ended."""
        self.keyring = Keyring(
            store=cast("KeyStore", Heard(self.store, self.changes)),
            formats=FORMATS,
            scopes=HIREPANDA,
            plans=("pro",),
            peppers=PEPPERS,
            templates=TEMPLATES,
            clock=self.clock,
            enforce=self.enforce,
            environment_aliases={"production": "live"},
            policies=policies,
            declared_tenants=declared_tenants,
        )

    async def enforce(self, ids: Collection[str], condemn: Condemn | None) -> Enforced:
        self.invalidated += ids
        self.condemned.append(condemn)
        return Enforced(
            effective_at=self.clock.now(), acknowledged=1, of=1, streams_closed=self.closing
        )

    def forget(self) -> None:
        self.changes.clear()
        self.invalidated.clear()
        self.condemned.clear()

    @property
    def events(self) -> list[ChangeType]:
        return [change.type for change in self.changes]

    async def minted(self, **values: Any) -> Minted:
        """Create a key, and forget what was told about it."""
        minted = await self.keyring.create_key(a_wish(**values), ORDER)
        self.forget()
        return minted

    async def key(self, key_id: str) -> KeyRecord:
        return await self.keyring.get_key(key_id)

    async def told(self) -> list[str]:
        """Return the types of what the audit trail holds."""
        return [record.type for record in await self.store.audit.audit_records(limit=1000)]


def a_wish(**values: Any) -> KeyWish:
    defaults: dict[str, Any] = {
        "tenant_id": "ten_a",
        "name": "Key",
        "scopes": ("read",),
        "environment": "live",
    }
    return KeyWish(**(defaults | values))
