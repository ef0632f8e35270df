from __future__ import annotations

import inspect
from typing import Any

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.keys import BoundKey, KeyState
from gateway.domain.request import RequestHead
from gateway.domain.tenants import Tenant
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.values import Principal
from gateway.stores.cached import CachedKeys
from gateway.stores.memory import MemoryStore
from tests.pipeline.fakes import NETWORK
from tests.pipeline.samples import (
    BAD_CHECKSUM,
    FORMAT,
    FORMATS,
    OPEN,
    OTHER_TOKEN,
    PEPPERS,
    TOKEN,
    bound,
    head,
    matched,
)
from tests.pipeline.world import World


async def judged(world: World, asked: RequestHead | None = None) -> Principal | Denial:
    """Return what the world's authenticator says to a request for a route that needs a key."""
    found = world.authenticator.authenticate(matched(asked or head()), NETWORK)
    return await found if inspect.isawaitable(found) else found


async def refusal(world: World, asked: RequestHead | None = None) -> Denial:
    denial = await judged(world, asked)
    assert isinstance(denial, Denial)
    return denial


async def reason(world: World, asked: RequestHead | None = None) -> Reason:
    return (await refusal(world, asked)).reason


def carrying(*values: str, target: str = "/v1/things") -> RequestHead:
    """Return a head with these `Authorization` fields."""
    return head(target, *(("Authorization", value) for value in values), token=None)


async def throttle(world: World) -> None:
    """Let the address fail until it has to wait."""
    while await reason(world, carrying("Bearer nonsense")) is not Reason.AUTH_THROTTLED:
        pass
    world.touched.clear()


# ---- who gets in


async def test_a_valid_key_is_the_principal() -> None:
    world = World()
    record = await world.add_key()
    principal = await judged(world)
    assert isinstance(principal, Principal)
    assert principal.key is not None
    assert principal.key.record == record


async def test_a_key_in_the_cache_is_judged_at_once_without_store_or_throttle() -> None:
    world = World()
    await world.add_key()
    assert isinstance(world.authenticator.authenticate(matched(head()), NETWORK), Principal)
    assert world.touched == ["cache"]


async def test_a_key_that_is_not_cached_is_looked_up_once_and_then_known() -> None:
    world = World()
    await world.add_key(is_cached=False)
    assert isinstance(await judged(world), Principal)
    assert world.touched.count("store") == 1
    world.touched.clear()
    assert isinstance(await judged(world), Principal)
    assert world.touched == ["cache"]


async def test_a_public_route_takes_the_same_step_and_gets_the_anonymous_principal() -> None:
    world = World()
    match = matched(head("/open", token=None), OPEN)
    principal = world.authenticator.authenticate(match, NETWORK)
    assert isinstance(principal, Principal)
    assert principal.key is None
    assert principal.match is match


async def test_a_public_route_never_reads_credentials() -> None:
    world = World()
    match = matched(head("/open", token=BAD_CHECKSUM), OPEN)
    principal = world.authenticator.authenticate(match, NETWORK)
    assert isinstance(principal, Principal)
    assert world.touched == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("spaces", [" ", "  ", "     "])
async def test_the_scheme_is_read_in_any_case_and_with_any_number_of_spaces(
    scheme: str, spaces: str
) -> None:
    world = World()
    await world.add_key()
    assert isinstance(await judged(world, carrying(f"{scheme}{spaces}{TOKEN}")), Principal)


# ---- how a credential is carried


async def test_no_credentials_are_missing_credentials() -> None:
    assert await reason(World(), carrying()) is Reason.MISSING_CREDENTIALS


@pytest.mark.parametrize("name", ["access_token", "api_key", "apikey", "API_KEY"])
@pytest.mark.parametrize("before", ["", "page=2&"])
async def test_a_token_in_the_query_alone_is_never_read(name: str, before: str) -> None:
    world = World()
    await world.add_key()
    asked = head(f"/v1/things?{before}{name}={TOKEN}", token=None)
    assert await reason(world, asked) is Reason.MISSING_CREDENTIALS
    assert world.touched == []


async def test_a_header_and_a_query_token_together_are_two_credentials() -> None:
    world = World()
    await world.add_key()
    asked = head(f"/v1/things?access_token={TOKEN}")
    assert await reason(world, asked) is Reason.DUPLICATE_CREDENTIALS


async def test_a_query_without_a_token_does_not_disturb() -> None:
    world = World()
    await world.add_key()
    assert isinstance(await judged(world, head("/v1/things?my_api_key_name=x&q=1")), Principal)


async def test_two_authorization_fields_are_refused_even_when_they_agree() -> None:
    world = World()
    await world.add_key()
    asked = carrying(f"Bearer {TOKEN}", f"Bearer {TOKEN}")
    assert await reason(world, asked) is Reason.DUPLICATE_CREDENTIALS
    assert "cache" not in world.touched


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer\t{TOKEN}",
        f"Bearer{TOKEN}",
        f"Bearer {TOKEN} ",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        f"Bearer {TOKEN} {TOKEN}",
        f'Bearer "{TOKEN}"',
        f"Bearer {TOKEN}\n",
        "Bearer ключ",
        "Bearer sk_live_short",
        f"Bearer xx_live_{'A' * 49}",
        f"Bearer sk_dev_{'A' * 49}",
        "Bearer " + "A" * 100_000,
    ],
)
async def test_whatever_is_no_bearer_token_of_ours_never_touches_the_cache(value: str) -> None:
    world = World()
    await world.add_key()
    assert await reason(world, carrying(value)) in (
        Reason.MALFORMED_CREDENTIALS,
        Reason.BAD_CHECKSUM,
    )
    assert "cache" not in world.touched
    assert "store" not in world.touched


# ---- the order of judgement


async def test_bad_checksum_never_touches_the_store() -> None:
    world = World()
    await world.add_key()
    assert await reason(world, head(token=BAD_CHECKSUM)) is Reason.BAD_CHECKSUM
    assert "cache" not in world.touched
    assert "store" not in world.touched


async def test_the_throttle_is_asked_before_the_store() -> None:
    world = World()
    await judged(world)
    assert world.touched[:2] == ["cache", "throttle"]
    assert world.touched.index("throttle") < world.touched.index("store")


async def test_a_throttled_address_cannot_make_the_gateway_ask_the_store() -> None:
    world = World()
    await world.add_key(is_cached=False)
    await throttle(world)
    denial = await refusal(world)
    assert denial.reason is Reason.AUTH_THROTTLED
    assert denial.retry_after_seconds >= 1
    assert "store" not in world.touched


async def test_a_cached_valid_key_from_a_throttled_address_still_passes() -> None:
    world = World()
    await world.add_key()
    await throttle(world)
    assert isinstance(await judged(world), Principal)
    assert world.touched == ["cache"]


async def test_a_throttled_address_may_try_again_when_it_was_told_to() -> None:
    world = World()
    await world.add_key(is_cached=False)
    await throttle(world)
    world.clock.advance((await refusal(world)).retry_after_seconds)
    assert isinstance(await judged(world), Principal)


async def test_another_address_is_not_throttled_along() -> None:
    world = World()
    await world.add_key(is_cached=False)
    await throttle(world)
    found = world.authenticator.authenticate(matched(head()), "198.51.100.1")
    assert inspect.isawaitable(found)
    assert isinstance(await found, Principal)


@pytest.mark.parametrize(
    "asked",
    [carrying("Basic x"), head(token=BAD_CHECKSUM), carrying(f"Bearer {TOKEN}", "Bearer x")],
)
async def test_a_throttled_address_learns_nothing_more_about_its_guesses(
    asked: RequestHead,
) -> None:
    world = World()
    await throttle(world)
    denial = await refusal(world, asked)
    assert denial.reason is Reason.AUTH_THROTTLED
    assert denial.internal != ""


# ---- what counts as guessing


@pytest.mark.parametrize(
    "asked",
    [carrying("Basic x"), head(token=BAD_CHECKSUM), head(), carrying("Bearer a", "Bearer b")],
)
async def test_a_guess_is_counted_for_the_network_of_its_address(asked: RequestHead) -> None:
    world = World()
    await judged(world, asked)
    assert world.touched.count(f"failed {NETWORK}") == 1


async def test_a_key_known_to_be_unknown_is_counted_again_without_asking_the_store() -> None:
    world = World(failures=10)
    assert await reason(world) is Reason.UNKNOWN_KEY
    world.touched.clear()
    assert await reason(world) is Reason.UNKNOWN_KEY
    assert "store" not in world.touched
    assert f"failed {NETWORK}" in world.touched


async def test_missing_credentials_are_not_counted_as_guessing() -> None:
    world = World(failures=1)
    for _ in range(5):
        assert await reason(world, carrying()) is Reason.MISSING_CREDENTIALS
    assert world.touched == []


async def test_an_outage_of_the_store_is_not_counted_as_guessing() -> None:
    world = World(failures=1)
    world.store.is_down = True
    for _ in range(5):
        assert await reason(world) is Reason.STORE_UNAVAILABLE
    assert f"failed {NETWORK}" not in world.touched


async def test_a_valid_key_is_not_counted() -> None:
    world = World()
    await world.add_key(is_cached=False)
    await judged(world)
    assert f"failed {NETWORK}" not in world.touched


# ---- the state of a key


@pytest.mark.parametrize("is_cached", [True, False])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": KeyState.REVOKED}, Reason.KEY_REVOKED),
        ({"state": KeyState.SUSPENDED}, Reason.KEY_SUSPENDED),
        ({"state": KeyState.EXPIRED}, Reason.KEY_EXPIRED),
        ({"expires_at": 1_699_999_999.0}, Reason.KEY_EXPIRED),
        (
            {"tenant": Tenant(tenant_id="ten_a", name="A", is_suspended=True)},
            Reason.TENANT_SUSPENDED,
        ),
    ],
)
async def test_a_key_that_may_not_be_used_is_refused_by_name_in_the_log(
    changes: dict[str, Any], expected: Reason, is_cached: bool
) -> None:
    world = World()
    await world.add_key(is_cached=is_cached, **changes)
    denial = await refusal(world)
    assert denial.reason is expected
    assert denial.internal == "key_a"
    assert isinstance(denial.key, BoundKey)
    assert denial.key.record.key_id == "key_a"


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.ROTATING])
async def test_an_active_or_rotating_key_may_be_used(state: KeyState) -> None:
    world = World()
    await world.add_key(state=state)
    assert isinstance(await judged(world), Principal)


async def test_a_key_stops_exactly_at_the_instant_at_which_it_expires() -> None:
    world = World()
    await world.add_key(expires_at=world.clock.now() + 60)
    world.clock.advance(59.999)
    assert isinstance(await judged(world), Principal)
    world.clock.wall = 1_700_000_060.0
    assert await reason(world) is Reason.KEY_EXPIRED


async def test_a_suspended_tenant_is_not_counted_as_guessing() -> None:
    world = World(failures=1)
    await world.add_key(tenant=Tenant(tenant_id="ten_a", name="A", is_suspended=True))
    for _ in range(3):
        assert await reason(world) is Reason.TENANT_SUSPENDED
    assert world.touched == ["cache"] * 3


async def test_a_dead_key_is_throttled_like_a_guess() -> None:
    world = World(failures=2)
    await world.add_key(state=KeyState.REVOKED)
    seen = [await reason(world) for _ in range(3)]
    assert seen == [Reason.KEY_REVOKED, Reason.KEY_REVOKED, Reason.AUTH_THROTTLED]
    assert isinstance((await refusal(world)).key, BoundKey)  # known all the same, for the record


async def test_a_token_of_one_environment_never_opens_a_key_of_another() -> None:
    world = World()
    await world.add_key(environment="test")
    denial = await refusal(world)
    assert denial.reason is Reason.ENV_MISMATCH
    assert "key_a" in denial.internal


async def test_a_foreign_token_tells_no_environment_and_takes_its_key_s() -> None:
    world = World()
    foreign = KeyFormats([KeyFormat("old", "", ("live",), has_checksum=False)])
    token = "imported+token/0123=="
    await world.add_key(token, environment="live")
    authenticator = Authenticator(
        formats=foreign,
        peppers=PEPPERS,
        keys=world.keys,
        throttle=world.throttle,
        clock=world.clock,
    )
    found = authenticator.authenticate(matched(head(token=token)), NETWORK)
    assert isinstance(found, Principal)


# ---- outages


async def test_a_store_that_does_not_answer_refuses_and_never_passes() -> None:
    world = World()
    await world.add_key(is_cached=False)
    world.store.is_down = True
    denial = await refusal(world)
    assert denial.reason is Reason.STORE_UNAVAILABLE
    assert denial.retry_after_seconds >= 1
    assert "disk I/O error" in denial.internal


async def test_a_cached_key_works_while_the_store_is_down() -> None:
    world = World()
    await world.add_key()
    world.store.is_down = True
    assert isinstance(await judged(world), Principal)


async def test_an_outage_is_not_remembered() -> None:
    world = World()
    await world.add_key(is_cached=False)
    world.store.is_down = True
    await refusal(world)
    world.store.is_down = False
    assert isinstance(await judged(world), Principal)


# ---- what a head remembers


async def test_the_same_head_is_judged_anew_by_the_state_of_now() -> None:
    world = World()
    record = await world.add_key()
    asked = head()
    assert isinstance(await judged(world, asked), Principal)
    await world.add_key(state=KeyState.REVOKED, is_cached=False)
    world.keys.invalidate([record.key_id])
    assert await reason(world, asked) is Reason.KEY_REVOKED


async def test_a_head_that_was_read_under_other_peppers_is_read_again() -> None:
    world = World()
    await world.add_key()
    asked = head()
    assert isinstance(await judged(world, asked), Principal)
    peppers = Peppers("p2", {"p2": b"q" * 32})
    store = MemoryStore()
    keys = CachedKeys(
        store, peppers, lambda record, _: bound(record), world.clock, size_max=9,
        negative_ttl_seconds=5,
    )  # fmt: skip
    others = Authenticator(
        formats=FORMATS, peppers=peppers, keys=keys, throttle=world.throttle, clock=world.clock
    )
    found = others.authenticate(matched(asked), NETWORK)
    assert inspect.isawaitable(found)
    denial = await found
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.UNKNOWN_KEY


async def test_a_head_that_was_read_under_other_formats_is_read_again() -> None:
    world = World()
    await world.add_key()
    asked = head()
    assert isinstance(await judged(world, asked), Principal)
    others = Authenticator(
        formats=KeyFormats([KeyFormat("other", "jh", ("live",))]),
        peppers=PEPPERS,
        keys=world.keys,
        throttle=world.throttle,
        clock=world.clock,
    )
    denial = others.authenticate(matched(asked), NETWORK)
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.MALFORMED_CREDENTIALS


async def test_no_denial_repeats_the_token() -> None:
    world = World(failures=100)
    await world.add_key(OTHER_TOKEN, state=KeyState.REVOKED)
    for token in (TOKEN, OTHER_TOKEN, BAD_CHECKSUM, FORMAT.mint("test", "C" * 43)):
        denial = await refusal(world, head(token=token))
        assert token not in repr(denial)
        assert token[8:51] not in repr(denial)
