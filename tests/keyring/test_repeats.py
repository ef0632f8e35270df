from __future__ import annotations

import pytest

from gateway.keyring.ledger import NotFound
from gateway.keyring.repeats import InProgress, Mismatch, Repeats
from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def repeats(clock: FakeClock) -> Repeats:
    return Repeats(MemoryStore(), clock)


async def test_the_second_request_is_given_what_the_first_made(repeats: Repeats) -> None:
    async with repeats.once("k", "f") as making:
        assert making.repeated_id == ""
        making.result_id = "key_a"
    async with repeats.once("k", "f") as making:
        assert making.repeated_id == "key_a"


async def test_another_request_with_the_same_key_is_refused(repeats: Repeats) -> None:
    async with repeats.once("k", "f") as making:
        making.result_id = "key_a"
    with pytest.raises(Mismatch):
        async with repeats.once("k", "other"):
            pass


async def test_while_the_first_is_worked_on_the_second_is_told_to_wait(repeats: Repeats) -> None:
    async with repeats.once("k", "f") as making:
        with pytest.raises(InProgress) as told:
            async with repeats.once("k", "f"):
                pass
        making.result_id = "key_a"
    assert told.value.is_retry_sensible


@pytest.mark.parametrize("refusal", [Conflict("taken"), NotFound("gone")])
async def test_what_is_refused_gives_the_key_back(repeats: Repeats, refusal: Exception) -> None:
    with pytest.raises(type(refusal)):
        async with repeats.once("k", "f"):
            raise refusal
    async with repeats.once("k", "corrected") as making:
        assert making.repeated_id == ""


async def test_what_ends_in_doubt_is_never_made_again(repeats: Repeats, clock: FakeClock) -> None:
    with pytest.raises(StoreUnavailable):
        async with repeats.once("k", "f"):
            raise StoreUnavailable
    clock.advance(61)
    with pytest.raises(InProgress, match="nobody knows") as told:
        async with repeats.once("k", "f"):
            pass
    assert not told.value.is_retry_sensible


async def test_a_result_that_cannot_be_kept_is_handed_out_all_the_same(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(MemoryStore):
        async def settle(self, idempotency_key: str, result_id: str) -> None:
            raise StoreUnavailable("locked")

    repeats = Repeats(Forgetful(), clock)
    async with repeats.once("k", "f") as making:
        making.result_id = "key_a"
    assert "is not kept: locked" in caplog.text


async def test_a_key_is_forgotten_after_a_day(repeats: Repeats, clock: FakeClock) -> None:
    async with repeats.once("k", "f") as making:
        making.result_id = "key_a"
    clock.advance(86_401)
    async with repeats.once("k", "other") as making:
        assert making.repeated_id == ""
