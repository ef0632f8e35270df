"""The demo tenant and its keys: minted at the first start, shown once.

Knows the keyring's door and the words that a newcomer reads. That a key was minted is told by the
store itself: a tenant `demo` that has a key of that name gets no second one, also when the first
was revoked. It must not know how keys are stored or checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.domain.blueprint import KeyWish
from gateway.domain.change import Actor, Order
from gateway.domain.queries import KeyQuery
from gateway.domain.tenants import Tenant
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound

TENANT_ID: Final = "demo"
TRICKLE_PLAN: Final = "trickle"
"""A plan of the shipped configuration that a few requests exhaust."""

_ORDER: Final = Order(actor=Actor(kind="system", name="demo"))
_ENVIRONMENT: Final = "live"
_FULL: Final = KeyWish(
    tenant_id=TENANT_ID, name="demo-full", environment=_ENVIRONMENT, scopes=("*",)
)
_READER: Final = KeyWish(
    tenant_id=TENANT_ID, name="demo-reader", environment=_ENVIRONMENT, scopes=("*:read",)
)
_TRICKLE: Final = KeyWish(
    tenant_id=TENANT_ID,
    name="demo-trickle",
    environment=_ENVIRONMENT,
    scopes=("*",),
    plan=TRICKLE_PLAN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoKeys:
    """The secrets of the keys minted just now; empty for one that an earlier start has shown."""

    full: str = field(default="", repr=False)
    reader: str = field(default="", repr=False)
    trickle: str = field(default="", repr=False)


async def provision(keyring: Keyring) -> DemoKeys:
    """Make sure that the demo tenant has its keys and return the secrets of the new ones.

    Safe to repeat, also after a start that was cut off in between.
    """
    try:
        if (await keyring.tenants.get(TENANT_ID)).is_deleted:
            return DemoKeys()  # somebody has tried that out
    except NotFound:
        await keyring.tenants.create(Tenant(tenant_id=TENANT_ID, name="Demo"), _ORDER)
    present = await _names(keyring)
    secrets = []
    for wish in (_FULL, _READER, _TRICKLE):
        is_new = wish.name not in present
        secrets.append((await keyring.create_key(wish, _ORDER)).secret if is_new else "")
    full, reader, trickle = secrets
    return DemoKeys(full=full, reader=reader, trickle=trickle)


async def _names(keyring: Keyring) -> set[str]:
    """Return the names of all keys that the demo tenant has, in whatever state."""
    names: set[str] = set()
    after = ""
    while True:
        page = await keyring.list_keys(KeyQuery(tenant_id=TENANT_ID), after=after)
        names |= {record.name for record in page.records}
        after = page.cursor
        if not after:
            return names


def render_curls(base_url: str, keys: DemoKeys) -> str:
    """Return one command per outcome, ready to paste; an already shown key becomes a variable."""
    jobs = f"{base_url.rstrip('/')}/api/v1/jobs"
    post = "-X POST -H 'Content-Type: application/json' -d '{\"title\": \"Data engineer\"}'"
    burst = f"for n in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{{http_code}}\\n' {jobs}"
    lines = [
        "Try it from another terminal:",
        "",
        "  200  a key that may do everything",
        f"       curl -i {jobs} {_bearer(keys.full, 'FULL_KEY')}",
        "",
        "  401  no key",
        f"       curl -i {jobs}",
        "",
        "  403  a key that may only read wants to write; the answer names the scope it lacks",
        f"       curl -i {jobs} {_bearer(keys.reader, 'READ_KEY')} {post}",
        "",
        "  429  a key on a small plan, a few times in a row",
        f"       {burst} {_bearer(keys.trickle, 'SLOW_KEY')}; done",
        "",
        *_advice(keys),
    ]
    return "\n".join(lines) + "\n"


def render_dashboard(url: str) -> str:
    """Return where the dashboard is and how to sign in; how to have one where `url` is empty."""
    if not url:
        return "The dashboard: set `dashboard.bind` to have it, such as 127.0.0.1:9901.\n"
    lines = [
        f"The dashboard: {url}",
        "",
        "  Sign in with the token that this prints, once:",
        "       .venv/bin/tollhouse admin tokens create --name me --role admin",
    ]
    return "\n".join(lines) + "\n"


def _bearer(secret: str, variable: str) -> str:
    """Return the header; the variable stands in double quotes, so that the shell fills it in."""
    if secret:
        return f"-H 'Authorization: Bearer {secret}'"
    return f'-H "Authorization: Bearer ${variable}"'


def _advice(keys: DemoKeys) -> list[str]:
    if all((keys.full, keys.reader, keys.trickle)):
        return ["These keys are shown this once; the gateway keeps only their hashes."]
    create = f".venv/bin/tollhouse keys create --tenant {TENANT_ID} --environment {_ENVIRONMENT}"
    return [
        "The demo keys were minted and shown by an earlier start and cannot be shown again. New ones,",
        "each printed once with the line that puts it into a variable of the commands above:",
        "",
        f"       {create} --name full --scope '*' --export-name FULL_KEY",
        f"       {create} --name reader --scope '*:read' --export-name READ_KEY",
        f"       {create} --name slow --scope '*' --plan {TRICKLE_PLAN} --export-name SLOW_KEY",
    ]
