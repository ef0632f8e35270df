"""Incidents: what is done, all at once, about a key that others may know (HP-12).

Knows that the key is revoked, replaced with the same settings if that is wanted, and the incident written down, in one
transaction. It must not know what the key was used for: that is in the request log.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.change import ChangeType, Order, described
from gateway.domain.enforcement import Enforced
from gateway.domain.incidents import Incident
from gateway.domain.key_rules import Refused, Rules
from gateway.domain.keys import KeyRecord
from gateway.domain.policies import Policies
from gateway.keyring.ledger import Act, Ledger, Page, require_as_seen
from gateway.keyring.minting import Mint, Minted
from gateway.keyring.steps import Steps
from gateway.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Compromised:
    """An incident, the key that was revoked, and what replaces it (None: nothing was asked for)."""

    incident: Incident
    revoked: KeyRecord
    minted: Minted | None
    enforced: Enforced | None = None


class Incidents:
    """Opens incidents. What it promises and raises is what `Keyring` does."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        steps: Steps,
        mint: Mint,
        policies: Policies,
        rules: Rules,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._steps = steps
        self._mint = mint
        self._policies = policies
        self._rules = rules
        self._clock = clock

    async def compromise(
        self, key_id: str, order: Order, *, since: float, with_replacement: bool = True
    ) -> Compromised:
        """Revoke a key that others may know since `since` (epoch seconds), and open an incident; a reason is mandatory.

        Its replacement has the same settings and lineage. A key that is revoked already may turn out to be compromised.
        """
        self._require(order, since)
        incident_id, replacement_id, secret = self._mint.new_id("inc"), "", ""

        async def plan() -> Act:
            nonlocal replacement_id, secret
            now = self._clock.now()
            key = await self._ledger.read(KeyRecord, key_id)
            require_as_seen(key, order)
            act = Act()
            if with_replacement:
                new, secret = self._mint.successor(key, now, self._policies.capped(key, now))
                replacement_id = new.key_id
                act.moves.append((None, new))
                act.changes.append(
                    self._ledger.change(
                        new,
                        ChangeType.KEY_CREATED,
                        order,
                        after=described(new),
                        subject_id=incident_id,
                    )
                )
            incident = Incident(
                incident_id=incident_id,
                tenant_id=key.tenant_id,
                key_id=key_id,
                lineage_id=key.lineage_id,
                replacement_key_id=replacement_id,
                since=since,
                opened_at=now,
                opened_by=order.actor.name,
                reason=order.reason,
            )
            act.changes.append(
                self._ledger.change(
                    key,
                    ChangeType.KEY_COMPROMISED,
                    order,
                    after={"since": since, "replacement_key_id": replacement_id},
                    subject_id=incident_id,
                )
            )
            await self._steps.revoke(act, key, order)
            act.moves.append((None, incident))
            return act

        enacted = await self._ledger.enact(plan, order)
        minted = None
        if with_replacement:
            minted = Minted(
                record=enacted.the(KeyRecord, replacement_id),
                secret="" if order.is_dry_run else secret,
                enforced=enacted.enforced,
            )
        return Compromised(
            incident=enacted.the(Incident, incident_id),
            revoked=enacted.the(KeyRecord, key_id),
            minted=minted,
            enforced=enacted.enforced,
        )

    async def get(self, incident_id: str) -> Incident:
        """Return the incident."""
        return await self._ledger.read(Incident, incident_id)

    async def page(
        self, *, tenant_id: str = "", key_id: str = "", after: str = "", limit: int = 100
    ) -> Page[Incident]:
        """Return one page of incidents, ordered by id."""
        where = {"tenant_id": tenant_id, "key_id": key_id}
        return await self._ledger.page(Incident, where=where, after=after, limit=limit)

    def _require(self, order: Order, since: float) -> None:
        now = self._clock.now()
        problems = self._rules.problems({"reason": order.reason}, now)
        if not 0 <= since <= now:
            problems.append(("/since", "must not lie in the future, nor before 1970"))
        if problems:
            raise Refused(problems)
