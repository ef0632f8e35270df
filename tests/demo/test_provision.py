"""The demo keys are minted once, and every printed command is ready to paste."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection
from dataclasses import replace

import pytest

from gateway.cli.main import build_parser
from gateway.demo.provision import (
    TENANT_ID,
    TRICKLE_PLAN,
    DemoKeys,
    provision,
    render_curls,
    render_dashboard,
)
from gateway.domain.blueprint import KeyWish
from gateway.domain.change import Actor, Order
from gateway.domain.digest import Peppers
from gateway.domain.enforcement import Enforced
from gateway.domain.key_format import KeyFormat, KeyFormats
from gateway.domain.keys import KeyState
from gateway.domain.queries import KeyQuery
from gateway.domain.scopes import ScopeCatalogue
from gateway.domain.streams import Condemn
from gateway.domain.templates import Templates
from gateway.keyring.door import Keyring
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock

OPERATOR = Order(actor=Actor(kind="admin", name="test"))
SECRETS = DemoKeys(full="sk_live_full", reader="sk_live_reader", trickle="sk_live_trickle")


async def nobody(_: Collection[str], __: Condemn | None) -> Enforced:
    return Enforced(effective_at=0.0, acknowledged=0, of=0)


@pytest.fixture
def open_keyring() -> Callable[[], Keyring]:
    """Return what opens a keyring on one and the same store, as two starts of the gateway do."""
    store = MemoryStore()

    def opened() -> Keyring:
        return Keyring(
            store=store,
            formats=KeyFormats([KeyFormat(name="demo", prefix="sk", environments=("live",))]),
            scopes=ScopeCatalogue(["jobs:read", "jobs:write"]),
            plans={TRICKLE_PLAN},
            peppers=Peppers("p1", {"p1": b"p" * 32}),
            templates=Templates(),
            clock=FakeClock(),
            enforce=nobody,
        )

    return opened


async def test_first_start_mints_three_keys(open_keyring: Callable[[], Keyring]) -> None:
    keyring = open_keyring()
    keys = await provision(keyring)
    full = await keyring.find_key(keys.full.encode())
    reader = await keyring.find_key(keys.reader.encode())
    trickle = await keyring.find_key(keys.trickle.encode())
    assert full is not None
    assert reader is not None
    assert trickle is not None
    assert (full.tenant_id, full.scopes) == (TENANT_ID, ("*",))
    assert reader.scopes == ("*:read",)
    assert trickle.plan == TRICKLE_PLAN


async def test_second_start_mints_nothing(open_keyring: Callable[[], Keyring]) -> None:
    await provision(open_keyring())
    assert await provision(open_keyring()) == DemoKeys()


async def test_start_that_was_cut_off_is_completed(open_keyring: Callable[[], Keyring]) -> None:
    await provision(open_keyring())
    keyring = open_keyring()
    listed = await keyring.list_keys(KeyQuery(tenant_id=TENANT_ID))
    lost = next(record for record in listed.records if record.name == "demo-reader")
    await keyring.update_key(lost.key_id, {"name": "renamed"}, OPERATOR)
    again = await provision(keyring)
    assert again.reader
    assert (again.full, again.trickle) == ("", "")


async def test_revoked_demo_key_is_not_replaced(open_keyring: Callable[[], Keyring]) -> None:
    keyring = open_keyring()
    minted = await provision(keyring)
    full = await keyring.find_key(minted.full.encode())
    assert full is not None
    await keyring.revoke_key(full.key_id, replace(OPERATOR, reason="quickstart"))
    assert (await provision(keyring)).full == ""
    assert (await keyring.get_key(full.key_id)).state is KeyState.REVOKED


async def test_names_are_found_on_every_page(open_keyring: Callable[[], Keyring]) -> None:
    keyring = open_keyring()
    await provision(keyring)
    for n in range(250):
        await keyring.create_key(
            KeyWish(tenant_id=TENANT_ID, name=f"more-{n}", scopes=()), OPERATOR
        )
    assert await provision(keyring) == DemoKeys()


def commands(text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(("curl ", "for "))]


def test_each_outcome_has_one_command_with_its_key() -> None:
    allowed, unauthenticated, forbidden, limited = commands(
        render_curls("http://127.0.0.1:8080/", SECRETS)
    )
    url = "http://127.0.0.1:8080/api/v1/jobs"
    assert allowed == ["curl", "-i", url, "-H", "Authorization: Bearer sk_live_full"]
    assert unauthenticated == ["curl", "-i", url]
    assert "Authorization: Bearer sk_live_reader" in forbidden
    assert forbidden[forbidden.index("-d") + 1] == '{"title": "Data engineer"}'
    assert "Authorization: Bearer sk_live_trickle" in {word.rstrip(";") for word in limited}
    assert limited[0] == "for"
    assert limited[-1] == "done"


def test_keys_are_announced_as_shown_once() -> None:
    assert "shown this once" in render_curls("http://x", SECRETS)


def test_later_start_tells_how_to_mint_instead_of_showing_a_secret() -> None:
    text = render_curls("http://x", DemoKeys())
    assert 'Bearer $FULL_KEY"' in text
    assert text.count("tollhouse keys create --tenant demo") == 3
    assert all(f"--export-name {name}" in text for name in ("FULL_KEY", "READ_KEY", "SLOW_KEY"))
    assert "sk_" not in text


def test_secrets_are_not_in_a_repr() -> None:
    assert "sk_live" not in repr(SECRETS)


def test_the_dashboard_is_one_address_and_one_command_away() -> None:
    text = render_dashboard("http://127.0.0.1:9901/")
    assert text.startswith("The dashboard: http://127.0.0.1:9901/\n")
    [command] = [line.split() for line in text.splitlines() if "tollhouse" in line]
    assert build_parser().parse_args(command[1:]).role == "admin"


def test_where_there_is_no_dashboard_it_is_said_how_to_have_one() -> None:
    assert "dashboard.bind" in render_dashboard("")


async def test_a_demo_tenant_that_was_deleted_is_left_alone(
    open_keyring: Callable[[], Keyring],
) -> None:
    keyring = open_keyring()
    await provision(keyring)
    tried = replace(OPERATOR, reason="tried")
    await keyring.tenants.delete(TENANT_ID, tried, revoke_keys=True)
    assert await provision(keyring) == DemoKeys()
