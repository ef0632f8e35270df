from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from gateway.assembly.errors import CannotStart
from gateway.assembly.keys import bootstrap, make_keyring, open_keyring
from gateway.config.load import load
from gateway.config.model import Config
from gateway.domain.blueprint import KeyWish
from gateway.domain.digest import Peppers
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyState
from gateway.domain.streams import Condemn
from gateway.keyring.door import Keyring
from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.memory import MemoryStore
from gateway.stores.observed import ObservedStore
from tests.clock import FakeClock
from tests.config.sample import HEAD, PEPPER, loaded, write
from tests.key_samples import ORDER, a_tenant, an_order

TOKEN = "sk_live_" + "A" * 49
HASH = Peppers("p1", {"p1": PEPPER.encode()}).digest(TOKEN.encode()).hex()
SCOPES = "scopes: {atoms: ['jobs:read', 'jobs:write']}\n"


class House:
    """A keyring over a store in memory, under one configuration at a time."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.forgotten: list[str] = []

    def keyring(self, config: Config) -> Keyring:
        return make_keyring(config, self.store, self.clock, self.forget)

    async def forget(self, ids: Collection[str], _: Condemn | None) -> Enforced:
        self.forgotten += ids
        return Enforced(effective_at=self.clock.now(), acknowledged=1, of=1)

    async def boot(self, config: Config) -> None:
        await bootstrap(config.bootstrap, self.keyring(config))


def declared(
    folder: Path, key: str = "scopes: ['jobs:read']", tenant: str = "", digest: str = HASH
) -> Config:
    return loaded(
        folder,
        SCOPES + "plans: {small: {}}\n"
        "bootstrap:\n"
        f"  tenants: [{{id: acme, name: Acme, {tenant}}}]\n"
        f"  keys: [{{id: key_ci, tenant: acme, name: CI, format: tollhouse, environment: live,\n"
        f"          hash: '{digest}', pepper: p1, {key}}}]\n",
    )


# ---- bootstrap


async def test_the_alerts_of_a_declared_tenant_are_those_of_the_file_or_stay_as_they_are(
    tmp_path: Path,
) -> None:
    house = House()
    await house.boot(declared(tmp_path, tenant="alerts: {time_zone: Europe/Berlin}"))
    tenants = house.keyring(declared(tmp_path)).tenants
    assert (await tenants.get("acme")).alerts == {"time_zone": "Europe/Berlin"}
    await tenants.update("acme", {"alerts": {"time_zone": "Asia/Tokyo"}}, ORDER)
    await house.boot(declared(tmp_path))  # says nothing about them
    assert (await tenants.get("acme")).alerts == {"time_zone": "Asia/Tokyo"}
    await house.boot(declared(tmp_path, tenant="alerts: {}"))
    assert (await tenants.get("acme")).alerts == {}


async def test_declared_tenants_and_keys_are_stored_with_everything_they_say(
    tmp_path: Path,
) -> None:
    house = House()
    config = declared(
        tmp_path,
        "scopes: ['jobs:read'], display: sk_live_AAAA, ip_allowlist: [192.0.2.0/24], plan: small, "
        "tags: [ci], metadata: {team: a}, expires_at: '2030-01-01T00:00:00Z'",
        "plan: small, ip_allowlist: [198.51.100.0/24], metadata: {crm: 7}",
    )
    await house.boot(config)
    tenant = await house.store.get_tenant("acme")
    assert tenant is not None
    assert (tenant.name, tenant.plan, dict(tenant.metadata)) == ("Acme", "small", {"crm": 7})
    assert tenant.enforced_allowlist == ("198.51.100.0/24",)
    key = await house.store.get_key("key_ci")
    assert key is not None
    assert key.digest.hex() == HASH
    assert (key.lineage_id, key.tenant_id, key.name) == ("key_ci", "acme", "CI")
    assert (key.format, key.environment, key.pepper_id) == ("tollhouse", "live", "p1")
    assert (key.display, key.scopes, key.plan) == ("sk_live_AAAA", ("jobs:read",), "small")
    assert (key.ip_allowlist, key.tags) == (("192.0.2.0/24",), ("ci",))
    assert (dict(key.metadata), key.expires_at) == ({"team": "a"}, 1_893_456_000.0)
    assert key.created_at == house.clock.now()


async def test_a_declared_tenant_is_deleted_only_after_the_file_has_let_go_of_it(
    tmp_path: Path,
) -> None:
    house = House()
    config = declared(tmp_path)
    await house.boot(config)
    with pytest.raises(Conflict, match="'acme' is declared in the configuration"):
        await house.keyring(config).tenants.delete("acme", an_order("left"), revoke_keys=True)
    let_go = loaded(tmp_path, SCOPES)
    gone = await house.keyring(let_go).tenants.delete("acme", an_order("left"), revoke_keys=True)
    assert gone.keys == 1
    with pytest.raises(CannotStart, match="'acme' was deleted, and its id is not used again"):
        await house.boot(config)


async def test_a_declared_key_of_a_deleted_tenant_stays_revoked_and_holds_no_start_up(
    tmp_path: Path,
) -> None:
    house = House()
    config = declared(tmp_path)
    await house.boot(config)
    keys_only = config.bootstrap.model_copy(update={"tenants": ()})
    keyring = house.keyring(loaded(tmp_path, SCOPES))
    await keyring.tenants.delete("acme", an_order("left"), revoke_keys=True)
    await bootstrap(keys_only, keyring)
    assert (await keyring.get_key("key_ci")).state is KeyState.REVOKED


async def test_a_declared_allowlist_can_be_switched_off(tmp_path: Path) -> None:
    house = House()
    await house.boot(
        declared(tmp_path, tenant="ip_allowlist: {allow: [192.0.2.1], enabled: false}")
    )
    tenant = await house.store.get_tenant("acme")
    assert tenant is not None
    assert tenant.ip_allowlist == ("192.0.2.1",)
    assert tenant.enforced_allowlist == ()


async def test_bootstrap_is_idempotent(tmp_path: Path) -> None:
    house = House()
    config = declared(tmp_path)
    await house.boot(config)
    revision = await house.store.revision()
    await house.boot(config)
    await house.boot(config)
    assert await house.store.revision() == revision


async def test_a_start_with_unchanged_keys_asks_the_store_once_for_all_of_them(
    tmp_path: Path,
) -> None:
    keys = ", ".join(
        f"{{id: key_{n}, tenant: acme, name: CI, format: tollhouse, environment: live, "
        f"hash: '{n:064x}', pepper: p1}}"
        for n in range(50)
    )
    config = loaded(
        tmp_path, f"{SCOPES}bootstrap:\n  tenants: [{{id: acme, name: A}}]\n  keys: [{keys}]\n"
    )
    house, asked = House(), Counter[str]()
    await house.boot(config)
    observed = ObservedStore(house.store, house.clock, lambda act, _: asked.update([act]))
    keyring = make_keyring(config, observed, house.clock, house.forget)
    await bootstrap(config.bootstrap, keyring)
    assert asked.pop("get_tenant") + asked.pop("get") <= 3
    assert asked == {"get_keys": 1}


async def test_what_is_declared_anew_is_brought_up_to_date(tmp_path: Path) -> None:
    house = House()
    await house.boot(declared(tmp_path))
    await house.boot(declared(tmp_path, "scopes: ['jobs:write']", "plan: small"))
    key, tenant = await house.store.get_key("key_ci"), await house.store.get_tenant("acme")
    assert key is not None
    assert tenant is not None
    assert key.scopes == ("jobs:write",)
    assert tenant.plan == "small"


async def test_bootstrap_never_brings_a_key_or_tenant_back(tmp_path: Path) -> None:
    house = House()
    config = declared(tmp_path)
    await house.boot(config)
    keyring = house.keyring(config)
    await keyring.revoke_key("key_ci", an_order("leaked"))
    await keyring.tenants.suspend("acme", an_order("unpaid"))
    await house.boot(config)
    key, tenant = await house.store.get_key("key_ci"), await house.store.get_tenant("acme")
    assert key is not None
    assert tenant is not None
    assert key.state is KeyState.REVOKED
    assert tenant.is_suspended


async def test_another_secret_under_a_declared_id_is_no_start(tmp_path: Path) -> None:
    house = House()
    await house.boot(declared(tmp_path))
    with pytest.raises(CannotStart, match=r"^bootstrap: key 'key_ci' exists with another digest"):
        await house.boot(declared(tmp_path, digest="0" * 64))


async def test_what_breaks_a_rule_of_the_keyring_is_no_start(tmp_path: Path) -> None:
    config = loaded(tmp_path, 'bootstrap: {tenants: [{id: acme, name: "bell\\a"}]}\n')
    with pytest.raises(CannotStart, match="bootstrap: /name"):
        await House().boot(config)


# ---- the keyring under a configuration


async def test_a_key_is_minted_under_the_rules_of_the_configuration(tmp_path: Path) -> None:
    house = House()
    await house.store.save_tenant(a_tenant())
    keyring = house.keyring(
        loaded(
            tmp_path,
            SCOPES + "templates: {default: {scopes: ['jobs:read'], environment: live, "
            "ip_allowlist: [192.0.2.0/24], expires_in: 1h}}\n"
            "environments: {live: {aliases: [production]}, test: {}}\n",
        )
    )
    minted = await keyring.create_key(KeyWish(tenant_id="ten_a", name="k"), ORDER)
    assert minted.secret.startswith("sk_live_")
    assert minted.record.scopes == ("jobs:read",)
    assert minted.record.ip_allowlist == ("192.0.2.0/24",)
    assert minted.record.expires_at == house.clock.now() + 3600
    wish = KeyWish(tenant_id="ten_a", name="k", environment="production", scopes=())
    assert (await keyring.create_key(wish, ORDER)).record.environment == "live"
    assert minted.record.key_id in house.forgotten


async def test_nobody_is_put_on_a_plan_that_would_not_limit_them(tmp_path: Path) -> None:
    house = House()
    await house.store.save_tenant(a_tenant())
    keyring = house.keyring(
        loaded(tmp_path, SCOPES + "plans: {gate: {concurrency: 9, owners: [route]}, small: {}}\n")
    )

    def wish(plan: str) -> KeyWish:
        return KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=(), plan=plan)

    assert (await keyring.create_key(wish("small"), ORDER)).record.plan == "small"
    for plan in ("gate", "gone"):
        with pytest.raises(Refused, match="/plan"):
            await keyring.create_key(wish(plan), ORDER)


# ---- without a running gateway


async def test_the_store_can_be_opened_by_itself_beside_the_config(tmp_path: Path) -> None:
    config = loaded(tmp_path, SCOPES + "store: {path: deep/keys.db}\n")
    path = tmp_path / "config.yaml"
    async with open_keyring(config, path) as keyring:
        await keyring.tenants.create(a_tenant("ten_b"), ORDER)
    assert (tmp_path / "deep" / "keys.db").exists()
    async with open_keyring(config, path) as keyring:
        assert (await keyring.tenants.get("ten_b")).name == "Tenant ten_b"


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys.db").mkdir()
    config = loaded(tmp_path, "store: {path: keys.db}\n")
    with pytest.raises(StoreUnavailable, match=r"keys\.db"):
        async with open_keyring(config, tmp_path / "config.yaml"):
            pass


async def test_every_declared_pepper_finds_a_key(tmp_path: Path) -> None:
    house = House()
    old = loaded(tmp_path, SCOPES)
    await house.boot(declared(tmp_path))
    both = HEAD.replace("current: p1", f"current: p2, p2: {'n' * 32}") + SCOPES
    config = load(write(tmp_path, both), {})
    token = TOKEN
    assert await house.keyring(old).find_key(token.encode()) is None  # its checksum is made up
    minted = await house.keyring(old).create_key(
        KeyWish(tenant_id="acme", name="k", environment="live", scopes=()), ORDER
    )
    found = await house.keyring(config).find_key(minted.secret.encode())
    assert found is not None
    assert found.key_id == minted.record.key_id


async def test_iv_14_a_declared_customer_may_stand_before_its_partner(tmp_path: Path) -> None:
    house = House()
    text = (
        "bootstrap:\n"
        "  tenants: [{id: initech, name: C, parent: globex}, {id: globex, name: P}]\n"
        "  keys: [{id: key_p, tenant: globex, name: P, format: tollhouse, environment: live,\n"
        f"          hash: '{HASH}', pepper: p1, kind: KIND, tenants: TENANTS}}]\n"
    )

    def with_key(kind: str, tenants: str) -> Config:
        return loaded(tmp_path, text.replace("KIND", kind).replace("TENANTS", tenants))

    await house.boot(with_key("multi_tenant", "[wayne]"))
    customer = await house.store.get_tenant("initech")
    assert customer is not None
    assert customer.parent_id == "globex"
    key = await house.store.get_key("key_p")
    assert key is not None
    assert (key.kind, key.tenants) == (KeyKind.MULTI_TENANT, ("wayne",))
    await house.boot(with_key("multi_tenant", "[]"))
    key = await house.store.get_key("key_p")
    assert key is not None
    assert key.tenants == ()
    with pytest.raises(CannotStart, match="exists with another kind"):
        await house.boot(with_key("regular", "[]"))
    with pytest.raises(CannotStart, match="tenant 'initech' exists with another parent"):
        await house.boot(loaded(tmp_path, "bootstrap: {tenants: [{id: initech, name: C}]}\n"))
