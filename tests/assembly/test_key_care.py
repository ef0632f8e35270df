"""What time does to keys while a whole gateway runs."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.domain.blueprint import KeyWish
from gateway.domain.keys import KeyState
from gateway.domain.rotations import RotationState
from tests.assembly.serving import add_tenant, ask, mint, serving
from tests.assembly.test_gateway_memory import until
from tests.key_samples import ORDER, an_order


async def test_an_expiry_and_the_end_of_a_suspension_are_written_down_within_two_seconds(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        keyring, soon = gateway.keyring, time.time() + 0.2
        wish = KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=(), expires_at=soon)
        expiring = await keyring.create_key(wish, ORDER)
        pausing = await mint(keyring)
        await keyring.suspend_key(pausing.record.key_id, an_order("maintenance"), soon)
        wanted = [KeyState.EXPIRED, KeyState.ACTIVE]
        ids = (expiring.record.key_id, pausing.record.key_id)

        async def is_written_down() -> bool:
            return [(await keyring.get_key(each)).state for each in ids] == wanted

        await until(is_written_down, 10)
        answers = [
            (await ask(gateway.public_address, "/me", each.secret)) for each in (expiring, pausing)
        ]
        assert [answer.status for answer in answers] == [401, 200]
        assert answers[0].json["code"] == "key_expired"


async def test_a_rotation_follows_the_traffic_until_the_old_key_ends(tmp_path: Path) -> None:
    """HP-11, D3: pending, overlapping once the new key was used, complete once the old one is idle."""
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        keyring, old = gateway.keyring, await mint(gateway.keyring)
        rotated = await keyring.rotations.start(old.record.key_id, ORDER, idle_seconds=5.0)
        seen: list[RotationState] = [rotated.rotation.state]

        async def has_ended() -> bool:
            rotation = await keyring.rotations.get(rotated.rotation.rotation_id)
            if rotation.state is not seen[-1]:
                seen.append(rotation.state)
            return not rotation.is_open

        for secret in (old.secret, rotated.secret):
            assert (await ask(gateway.public_address, "/me", secret)).status == 200
        await until(has_ended, 15)
        assert seen == [RotationState.PENDING, RotationState.OVERLAPPING, RotationState.COMPLETED]
        refused = await ask(gateway.public_address, "/me", old.secret)
        assert (refused.status, refused.json["code"]) == (401, "key_revoked")
        assert (await ask(gateway.public_address, "/me", rotated.secret)).status == 200


async def test_a_secret_taken_from_a_link_works_at_once(tmp_path: Path) -> None:
    """HT-3, with the cache of unknown keys and the real store."""
    async with serving(tmp_path) as gateway:
        await add_tenant(gateway)
        wish = KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=())
        sent = await gateway.keyring.create_key(wish, ORDER, delivery_seconds=60)
        taken = await gateway.keyring.deliveries.redeem(sent.delivery_token, "192.0.2.1")
        answer = await ask(gateway.public_address, "/me", taken.secret)
        assert (answer.status, answer.json["key_id"]) == (200, sent.record.key_id)
    stored = _stored(tmp_path)
    for secret in (taken.secret, sent.delivery_token):
        assert secret.encode() not in stored


def _stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("keys.db*"))
