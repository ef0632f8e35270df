"""Whoever asks twice gets one thing, also when both ask at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.domain.admin_tokens import Role
from gateway.domain.change import Change
from gateway.domain.keys import KeyRecord
from gateway.ports import Record, StoreUnavailable, Write
from gateway.stores import sqlite
from gateway.stores.memory import MemoryStore
from tests.admin.caller import CREATE, Caller, serving
from tests.key_samples import ORDER, a_tenant
from tests.keyring.house import House

KEY: Final[dict[str, Any]] = {"headers": {"Idempotency-Key": "2f6e-1"}}


@pytest.fixture
async def house() -> House:
    house = House()
    await house.store.save_tenant(a_tenant())
    return house


@pytest.fixture
async def call(house: House, tmp_path: Path) -> AsyncIterator[Caller]:
    async with serving(house, tmp_path / "admin.sock") as call:
        yield call


async def _keys(call: Caller) -> list[str]:
    return [key["key_id"] for key in (await call("GET", "/keys"))["data"]]


async def test_a_key_is_minted_once_and_its_secret_is_never_told_again(call: Caller) -> None:
    created = await call("POST", "/keys", CREATE, expect=201, **KEY)
    key_id = created["key"]["key_id"]
    again = await call("POST", "/keys", CREATE, expect=409, **KEY)
    assert (again["code"], again["result_id"]) == ("secret_already_delivered", key_id)
    assert created["secret"] not in repr(again)
    assert await _keys(call) == [key_id]
    other: dict[str, Any] = {"headers": {"Idempotency-Key": "2f6e-2"}}
    await call("POST", "/keys", CREATE, expect=201, **other)
    assert len(await _keys(call)) == 2


async def test_a_tenant_is_made_once_and_shown_again(call: Caller) -> None:
    made = await call("POST", "/tenants", {"name": "B"}, expect=201, **KEY)
    again = await call("POST", "/tenants", {"name": "B"}, **KEY)
    assert again == made
    assert call.headers["Idempotency-Replayed"] == "true"
    assert len((await call("GET", "/tenants"))["data"]) == 2


async def test_an_admin_token_is_made_once(call: Caller) -> None:
    body = {"name": "CI", "role": "viewer"}
    made = await call("POST", "/admin-tokens", body, expect=201, **KEY)
    again = await call("POST", "/admin-tokens", body, expect=409, **KEY)
    assert again["result_id"] == made["token"]["token_id"]


async def test_another_request_with_the_same_key_is_refused(call: Caller) -> None:
    await call("POST", "/keys", CREATE, expect=201, **KEY)
    answer = await call("POST", "/keys", {**CREATE, "name": "Other"}, expect=422, **KEY)
    assert answer["code"] == "idempotency_key_reused"
    await call("POST", "/tenants", {"name": "B"}, expect=422, **KEY)


async def test_what_was_refused_may_be_corrected_under_the_same_key(call: Caller) -> None:
    await call("POST", "/keys", {**CREATE, "scopes": ["x"]}, expect=422, **KEY)
    await call("POST", "/keys", CREATE, expect=201, **KEY)


async def test_a_dry_run_uses_up_no_key(call: Caller) -> None:
    for _ in range(2):
        await call("POST", "/keys?dry_run=true", CREATE, **KEY)
    await call("POST", "/keys", CREATE, expect=201, **KEY)


async def test_nobody_meets_the_keys_of_others(house: House, tmp_path: Path) -> None:
    create = house.keyring.admin_tokens.create
    async with serving(house, tmp_path / "admin.sock") as call:
        await call("POST", "/keys", CREATE, expect=201, **KEY)
        for name in ("one", "other"):
            secret = (await create(name, Role.ADMIN, ORDER)).secret
            headers = {**KEY["headers"], "Authorization": f"Bearer {secret}"}
            await call("POST", "/keys", CREATE, expect=201, headers=headers)


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_cannot_be_kept_is_refused(call: Caller, key: str) -> None:
    headers = {"Idempotency-Key": key}
    await call("POST", "/keys", CREATE, expect=400, headers=headers)
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    await call("POST", "/keys", CREATE, expect=400, headers=twice)


async def test_a_creation_that_ended_in_doubt_is_not_repeated(tmp_path: Path) -> None:
    class Doubtful(MemoryStore):
        async def commit(
            self, writes: Sequence[Write], changes: Sequence[Change] = ()
        ) -> list[Record]:
            written = await super().commit(writes, changes)
            if any(isinstance(write.record, KeyRecord) for write in writes):
                raise StoreUnavailable("the answer got lost")
            return written

    house = House(Doubtful())
    await house.store.save_tenant(a_tenant())
    async with serving(house, tmp_path / "admin.sock") as call:
        await call("POST", "/keys", CREATE, expect=503, **KEY)
        answer = await call("POST", "/keys", CREATE, expect=409, **KEY)
        assert (answer["code"], call.headers["Retry-After"]) == ("request_in_progress", "1")
        house.clock.advance(61)
        answer = await call("POST", "/keys", CREATE, expect=409, **KEY)
        assert "nobody knows" in answer["detail"]
        assert "Retry-After" not in call.headers
        assert len(await _keys(call)) == 1


# Races


class Slow(MemoryStore):
    """Keeps every commit of a key waiting until all requests have come."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reserved = asyncio.Event()
        self.go = asyncio.Event()

    async def remember(
        self, idempotency_key: str, fingerprint: str, result_id: str, now: float
    ) -> tuple[str, str]:
        self.is_reserved.set()
        return await super().remember(idempotency_key, fingerprint, result_id, now)

    async def commit(self, writes: Sequence[Write], changes: Sequence[Change] = ()) -> list[Record]:
        if any(isinstance(write.record, KeyRecord) for write in writes):
            await self.go.wait()
        return await super().commit(writes, changes)


async def test_of_requests_that_overlap_only_the_first_makes_something(tmp_path: Path) -> None:
    store = Slow()
    house = House(store)
    await store.save_tenant(a_tenant())
    async with serving(house, tmp_path / "admin.sock") as call:
        first = asyncio.create_task(call("POST", "/keys", CREATE, expect=201, **KEY))
        await store.is_reserved.wait()
        for _ in range(5):
            answer = await call("POST", "/keys", CREATE, expect=409, **KEY)
            assert answer["code"] == "request_in_progress"
        store.go.set()
        created = await first
        assert await _keys(call) == [created["key"]["key_id"]]


async def test_of_many_at_the_same_time_one_is_made_in_a_file_too(tmp_path: Path) -> None:
    async with sqlite.opened(tmp_path / "keys.db") as store:
        await store.save_tenant(a_tenant())
        house = House(store)
        async with serving(house, tmp_path / "admin.sock") as call:
            connector = aiohttp.UnixConnector(str(tmp_path / "admin.sock"), limit=32)
            async with aiohttp.ClientSession("http://admin", connector=connector) as session:

                async def ask() -> tuple[int, str | None]:
                    async with session.post("/admin/v1/keys", json=CREATE, **KEY) as response:
                        return response.status, (await response.json(content_type=None)).get("code")

                answers = Counter(await asyncio.gather(*(ask() for _ in range(32))))
            assert answers[201, None] == 1
            assert answers.keys() <= {
                (201, None),
                (409, "request_in_progress"),
                (409, "secret_already_delivered"),
            }
            assert len(await _keys(call)) == 1
