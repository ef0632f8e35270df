from __future__ import annotations

from hmac import digest as hmac_digest

import pytest

from gateway.domain.admin_tokens import AdminToken, Role, is_well_formed
from gateway.domain.change import ChangeType
from gateway.domain.key_rules import Refused
from gateway.keyring.admin_tokens import AdminTokens, MintedToken
from gateway.keyring.ledger import NotFound, Stale
from gateway.ports import Write
from tests.key_samples import ACTOR, ORDER, a_tenant, an_order
from tests.keyring.test_door import House


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


@pytest.fixture
def tokens(house: House) -> AdminTokens:
    return house.keyring.admin_tokens


async def _minted(tokens: AdminTokens, **values: object) -> MintedToken:
    return await tokens.create("Ops", Role.OPERATOR, ORDER, **values)  # type: ignore[arg-type]


async def test_a_token_is_found_by_its_secret_and_stored_as_a_digest_only(
    tokens: AdminTokens,
) -> None:
    minted = await _minted(tokens)
    record = minted.record
    assert is_well_formed(minted.secret.encode())
    assert record.digest == hmac_digest(b"2" * 32, minted.secret.encode(), "sha256")
    assert (record.role, record.tenant_id, len(record.token_id)) == (Role.OPERATOR, "", 36)
    assert await tokens.find(minted.secret.encode()) == record == await tokens.get(record.token_id)
    assert minted.secret not in repr(minted)


async def test_a_token_is_found_under_every_pepper(house: House, tokens: AdminTokens) -> None:
    minted = await _minted(tokens)
    old = hmac_digest(b"1" * 32, minted.secret.encode(), "sha256")
    record = minted.record
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    stored = AdminToken(**(values | {"digest": old, "pepper_id": "p1"}))
    await house.store.commit([Write(stored)])
    found = await tokens.find(minted.secret.encode())
    assert found is not None
    assert found.pepper_id == "p1"


@pytest.mark.parametrize("token", [b"", b"tha_x", b"sk_live_" + b"a" * 49, b"\xff" * 53])
async def test_what_is_no_token_is_not_looked_for(token: bytes) -> None:
    house = House()
    house.store.page = None
    assert await house.keyring.admin_tokens.find(token) is None


async def test_the_audit_trail_tells_of_creation_and_revocation_without_secrets(
    house: House, tokens: AdminTokens
) -> None:
    minted = await _minted(tokens, tenant_id="ten_a")
    await tokens.revoke(minted.record.token_id, an_order("left"))
    created, revoked = house.changes
    assert (created.type, revoked.type) == (
        ChangeType.ADMIN_TOKEN_CREATED,
        ChangeType.ADMIN_TOKEN_REVOKED,
    )
    assert created.subject_id == revoked.subject_id == minted.record.token_id
    assert (created.tenant_id, revoked.reason) == ("ten_a", "left")
    assert created.after["role"] == Role.OPERATOR
    told = "".join(record.body for record in await house.store.audit.audit_records())
    assert minted.secret not in told
    assert minted.record.digest.hex() not in told
    assert "admin.token_revoked" in told


async def test_revoking_needs_a_reason_and_is_final(house: House, tokens: AdminTokens) -> None:
    token_id = (await _minted(tokens)).record.token_id
    with pytest.raises(Refused):
        await tokens.revoke(token_id, ORDER)
    first = (await tokens.revoke(token_id, an_order("left"))).record
    house.clock.advance(5)
    again = await tokens.revoke(token_id, an_order("again"))
    assert again.record.revoked_at == first.revoked_at
    assert not again.record.is_usable_at(house.clock.now())
    with pytest.raises(Stale):
        await tokens.revoke(token_id, an_order("x", expected_revision=first.revision + 1))
    with pytest.raises(NotFound, match="there is no admin token 'adm_x'"):
        await tokens.revoke("adm_x", an_order("left"))


async def test_everything_wrong_with_a_token_is_told_at_once(
    house: House, tokens: AdminTokens
) -> None:
    with pytest.raises(Refused) as refused:
        await tokens.create(
            " ", Role.VIEWER, ORDER, tenant_id="ten_x", expires_at=house.clock.now()
        )
    assert {pointer for pointer, _ in refused.value.problems} == {
        "/name",
        "/expires_at",
        "/tenant_id",
    }


async def test_a_dry_run_makes_nothing_and_shows_no_secret(
    house: House, tokens: AdminTokens
) -> None:
    trial = await tokens.create("Ops", Role.ADMIN, an_order(is_dry_run=True))
    assert (trial.secret, trial.enforced) == ("", None)
    assert (await tokens.page()).records == []
    assert house.changes == []


async def test_last_use_is_recorded_once_a_minute_and_is_no_change(
    house: House, tokens: AdminTokens
) -> None:
    record = (await _minted(tokens)).record
    started = house.clock.now()
    await tokens.used(record)
    house.clock.advance(59)
    await tokens.used(await tokens.get(record.token_id))
    stored = await tokens.get(record.token_id)
    assert (stored.last_used_at, stored.revision) == (started, record.revision)
    house.clock.advance(1)
    await tokens.used(stored)
    assert (await tokens.get(record.token_id)).last_used_at == started + 60


async def test_tokens_are_listed_in_pages_by_whom_they_are_bound_to(tokens: AdminTokens) -> None:
    for tenant_id in ("", "ten_a", "ten_a"):
        await _minted(tokens, tenant_id=tenant_id)
    first = await tokens.page(limit=2)
    rest = await tokens.page(limit=2, after=first.cursor)
    assert (len(first.records), len(rest.records), rest.cursor) == (2, 1, "")
    assert len((await tokens.page(tenant_id="ten_a")).records) == 2


async def test_a_login_is_told_with_the_token_as_far_as_it_is_known(
    house: House, tokens: AdminTokens
) -> None:
    record = (await _minted(tokens, tenant_id="ten_a")).record
    house.forget()
    await tokens.tell_login(ChangeType.ADMIN_LOGIN_SUCCEEDED, ACTOR, record)
    await tokens.tell_login(ChangeType.ADMIN_LOGIN_FAILED, ACTOR, reason="unknown token")
    told = [(each.type, each.subject_id, each.tenant_id, each.reason) for each in house.changes]
    assert told == [
        (ChangeType.ADMIN_LOGIN_SUCCEEDED, record.token_id, "ten_a", ""),
        (ChangeType.ADMIN_LOGIN_FAILED, "", "", "unknown token"),
    ]
    assert house.invalidated == []
