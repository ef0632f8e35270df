"""Keys that act for other tenants, in a whole gateway: what changes take effect, and what a reload keeps."""

from __future__ import annotations

from pathlib import Path

from gateway.assembly.gateway import Gateway
from gateway.assembly.succession import Succession
from gateway.domain.keys import KeyKind, KeyRecord
from tests.assembly.serving import EDGE, ask, configured, serving
from tests.key_samples import ORDER, a_key, a_tenant, an_order

TENANCY = "tenancy: {selector: {query: companyId}}\n"
ME = "routes: [{name: me, match: {path: /me}, handler: introspect}]\n"


async def prepared(gateway: Gateway) -> str:
    """Store a partner with a customer, and a key of the partner; return the key's secret."""
    for tenant in (a_tenant("ten_a"), a_tenant("ten_c", parent_id="ten_a"), a_tenant("ten_x")):
        await gateway.keyring.tenants.create(tenant, ORDER)
    draft = gateway.here.edition.draft
    key_format = draft.formats.get("tollhouse")
    assert key_format is not None
    token = key_format.mint("live", "P" * 43)
    await gateway.keyring.import_key(partner_key(draft.peppers.digest(token.encode())), ORDER)
    return token


def partner_key(digest: bytes) -> KeyRecord:
    return a_key(kind=KeyKind.MULTI_TENANT, format="tollhouse", digest=digest, tenants=("ten_x",))


async def company(gateway: Gateway, token: str, named: str = "") -> str:
    """Ask who one is; return the tenant that answers, or the code of the refusal."""
    path = f"/me?companyId={named}" if named else "/me"
    answer = await ask(gateway.public_address, path, token)
    return str(answer.json["tenant_id"] if answer.status == 200 else answer.json["code"])


async def test_iv_14_changes_of_tenants_and_keys_take_effect_when_the_call_returns(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, ME + TENANCY) as gateway:
        token = await prepared(gateway)
        assert await company(gateway, token) == "ten_a"
        assert await company(gateway, token, "ten_c") == "ten_c"
        assert await company(gateway, token, "ten_x") == "ten_x"
        assert await company(gateway, token, "ten_new") == "cross_tenant"
        keyring = gateway.keyring
        await keyring.tenants.create(a_tenant("ten_new", parent_id="ten_a"), ORDER)
        assert await company(gateway, token, "ten_new") == "ten_new"
        await keyring.tenants.suspend("ten_c", an_order("unpaid"))
        assert await company(gateway, token, "ten_c") == "tenant_suspended"
        await keyring.tenants.resume("ten_c", ORDER)
        assert await company(gateway, token, "ten_c") == "ten_c"
        await keyring.update_key("key_a", {"tenants": ()}, ORDER)
        assert await company(gateway, token, "ten_x") == "cross_tenant"
        assert await company(gateway, token, "ten_c") == "ten_c"
        await keyring.tenants.suspend("ten_a", an_order("unpaid"))
        assert await company(gateway, token, "ten_c") == "tenant_suspended"


async def test_iv_35_nobody_acts_for_a_deleted_tenant_and_its_own_keys_are_revoked(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, ME + TENANCY) as gateway:
        token = await prepared(gateway)
        tenants = gateway.keyring.tenants
        assert await company(gateway, token, "ten_c") == "ten_c"
        await tenants.delete("ten_c", an_order("left"))
        assert await company(gateway, token, "ten_c") == "cross_tenant"
        assert await company(gateway, token, "ten_x") == "ten_x"
        await tenants.delete("ten_x", an_order("left"))
        assert await company(gateway, token, "ten_x") == "cross_tenant"
        assert await company(gateway, token) == "ten_a"
        await tenants.delete("ten_a", an_order("left"), revoke_keys=True)
        assert await company(gateway, token) == "key_revoked"


async def test_a_reload_switches_tenancy_on_and_off_and_forgets_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, ME) as gateway:
        token = await prepared(gateway)
        assert await company(gateway, token, "ten_none") == "ten_a"  # nothing is read
        lookups = gateway.here.edition.acting.lookups
        for text, named in ((TENANCY, "ten_c"), (TENANCY.replace("companyId", "c"), "ten_a")):
            await Succession(gateway).apply(configured(tmp_path, ME + text, EDGE))
            assert await company(gateway, token, "ten_c") == named
            assert gateway.here.edition.acting.lookups is lookups
        await Succession(gateway).apply(configured(tmp_path, ME, EDGE))
        assert await company(gateway, token, "ten_none") == "ten_a"


async def test_x_21_hidden_tenants_look_like_a_path_that_does_not_exist(tmp_path: Path) -> None:
    tenancy = "tenancy: {selector: {query: companyId}, hide: 404}\n"
    async with serving(tmp_path, ME + tenancy) as gateway:
        token = await prepared(gateway)
        await gateway.keyring.update_key("key_a", {"tenants": ()}, ORDER)
        nowhere = await ask(gateway.public_address, "/nowhere", token)
        answers = [
            await ask(gateway.public_address, f"/me?companyId={named}", token)
            for named in ("ten_x", "ten_none")
        ]
        for answer in answers:
            assert answer.status == 404
            told = answer.json
            for name in ("instance", "request_id"):
                told.pop(name, None)
            assert told == {
                name: value
                for name, value in nowhere.json.items()
                if name not in ("instance", "request_id")
            }


async def test_forgetting_everything_forgets_whom_keys_act_for(tmp_path: Path) -> None:
    async with serving(tmp_path, ME + TENANCY) as gateway:
        token = await prepared(gateway)
        assert await company(gateway, token, "ten_c") == "ten_c"
        revision = gateway.here.edition.acting.lookups.revision
        gateway.here.forget_all()
        assert gateway.here.edition.acting.lookups.revision == revision + 1
        assert await company(gateway, token, "ten_c") == "ten_c"
