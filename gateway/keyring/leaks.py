"""Leaks: tokens that somebody found where they do not belong, and what is done about the keys that they are (D9).

Knows that each key is told of in the trail before anything is done about it, and that nothing is undone: a key that is
stopped already stays as it is. It must not know where tokens are looked for, nor keep one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from gateway.domain.admin_tokens import AdminToken
from gateway.domain.change import Change, ChangeType, Order
from gateway.domain.key_rules import Refused, Rules
from gateway.domain.keys import KeyRecord, KeyState
from gateway.keyring.ledger import Ledger
from gateway.ports import Clock, Conflict

if TYPE_CHECKING:
    from gateway.keyring.door import Keyring

Policy = Literal["report", "suspend", "revoke"]
"""What is done about a key that was found: it is told of, and nothing else; suspended; or revoked, with an incident."""

Done = Literal["none", "suspended", "revoked"]

_STOPPED: Final = frozenset({KeyState.REVOKED, KeyState.EXPIRED, KeyState.SUSPENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundToken:
    """A token, and where it was found: `url` and `source` hold no secret any more. `since` is since when it may have
    been there (epoch seconds), None for nobody knows.
    """

    token: bytes = field(repr=False)
    url: str = ""
    source: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What a token was: a key, an admin token, or neither as far as whoever reports may know. `state` is that of the
    key when it was reported; `is_everywhere` tells whether what was done has reached all that serve.
    """

    key: KeyRecord | None = None
    state: KeyState | None = None
    admin_token: AdminToken | None = None
    done: Done = "none"
    incident_id: str = ""
    is_everywhere: bool = True


class Leaks:
    """Takes reports. What it raises is what `Keyring` does."""

    def __init__(self, keyring: Keyring, ledger: Ledger, rules: Rules, clock: Clock) -> None:
        self._keyring = keyring
        self._ledger = ledger
        self._rules = rules
        self._clock = clock

    async def report(
        self,
        found: Sequence[FoundToken],
        policy: Policy,
        order: Order,
        tenant_ids: Sequence[str] | None = None,
    ) -> list[Leak]:
        """Say of each token what it is, and do what `policy` says. A reason is mandatory.

        With `tenant_ids` only what belongs to one of them is found.
        """
        now = self._clock.now()
        problems = self._rules.problems({"reason": order.reason}, now)
        problems += [
            (f"/leaks/{index}/since", "must not lie in the future, nor before 1970")
            for index, each in enumerate(found)
            if each.since is not None and not 0 <= each.since <= now
        ]
        if problems:
            raise Refused(problems)
        leaks = [await self._one(each, policy, order, tenant_ids) for each in found]
        unknown = sum(leak.key is None and leak.admin_token is None for leak in leaks)
        if unknown and not order.is_dry_run:
            await self._tell_unknown(unknown, order, tenant_ids)
        return leaks

    async def _one(
        self,
        found: FoundToken,
        policy: Policy,
        order: Order,
        tenant_ids: Sequence[str] | None,
    ) -> Leak:
        key = await self._keyring.find_key(found.token)
        if key is not None and (tenant_ids is None or key.tenant_id in tenant_ids):
            return await self._key(key, found, policy, order)
        token = await self._keyring.admin_tokens.find(found.token)
        if token is not None and (tenant_ids is None or token.tenant_id in tenant_ids):
            await self._tell(token, found, order, {"display": token.display})
            return Leak(admin_token=token)
        return Leak()

    async def _key(self, key: KeyRecord, found: FoundToken, policy: Policy, order: Order) -> Leak:
        state = self._keyring.state_of(key)
        told = {"display": key.display, "state": str(state), "policy": policy}
        await self._tell(key, found, order, told)
        leak = Leak(key=key, state=state)
        try:
            if policy == "suspend" and state not in _STOPPED:
                changed = await self._keyring.suspend_key(key.key_id, order)
                is_everywhere = changed.enforced is None or changed.enforced.is_everywhere
                leak = replace(leak, done="suspended", is_everywhere=is_everywhere)
            elif policy == "revoke" and state is not KeyState.REVOKED:
                since = key.created_at if found.since is None else found.since
                opened = await self._keyring.incidents.compromise(
                    key.key_id, order, since=since, with_replacement=False
                )
                is_everywhere = opened.enforced is None or opened.enforced.is_everywhere
                incident_id = "" if order.is_dry_run else opened.incident.incident_id
                leak = replace(
                    leak, done="revoked", incident_id=incident_id, is_everywhere=is_everywhere
                )
        except Conflict:
            pass  # it has become another key meanwhile: what was told stands, and is judged by people
        return leak

    async def _tell(
        self,
        record: KeyRecord | AdminToken,
        found: FoundToken,
        order: Order,
        after: dict[str, str],
    ) -> None:
        if order.is_dry_run:
            return
        where = {"url": found.url, "source": found.source, "since": found.since}
        change = self._ledger.change(
            record, ChangeType.KEY_LEAK_REPORTED, order, after={**where, **after}
        )
        await self._ledger.tell([change])

    async def _tell_unknown(
        self, number: int, order: Order, tenant_ids: Sequence[str] | None
    ) -> None:
        change = Change(
            type=ChangeType.KEY_LOOKED_UP,
            actor=order.actor,
            tenant_id=tenant_ids[0] if tenant_ids else "",
            reason=order.reason,
            after={"is_found": False, "tokens": number},
            at=self._clock.now(),
        )
        await self._ledger.tell([change])
