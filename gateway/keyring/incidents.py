"""Incidents: what is done, all at once, about a key that others may know (HP-12).

Knows that the key is revoked, replaced with the same settings if that is wanted, and the incident written down, in one
transaction. It must not know what the key was used for: that is in the request log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.change import ChangeType, Order, described
from gateway.domain.enforcement import Enforced
from gateway.domain.incidents import Incident
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyRecord
from gateway.domain.queries import Sort
from gateway.keyring.ledger import Act, Page, among, require_as_seen
from gateway.keyring.minting import Minted
from gateway.keyring.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Compromised:
    """An incident, the key that was revoked, and what replaces it (None: nothing was asked for)."""

    incident: Incident
    revoked: KeyRecord
    minted: Minted | None
    enforced: Enforced | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a compromise makes; made anew when it loses a race."""

    incident: Incident
    replacement: KeyRecord | None
    secret: str = field(repr=False)


class Incidents:
    """Opens incidents. What it promises and raises is what `Keyring` does."""

    def __init__(self, workshop: Workshop) -> None:
        self._ledger = workshop.ledger
        self._steps = workshop.steps
        self._mint = workshop.mint
        self._policies = workshop.policies
        self._rules = workshop.rules
        self._clock = workshop.clock

    async def compromise(
        self, key_id: str, order: Order, *, since: float, with_replacement: bool = True
    ) -> Compromised:
        """Revoke a key that others may know since `since` (epoch seconds), and open an incident; a reason is mandatory.

        Its replacement has the same settings and lineage. A key that is revoked already may turn out to be compromised.
        """
        self._require(order, since)
        opened: _Opened | None = None

        async def plan() -> Act:
            nonlocal opened
            key = await self._ledger.read(KeyRecord, key_id)
            require_as_seen(key, order)
            act = Act()
            opened = self._open(act, key, order, since, with_replacement)
            await self._steps.revoke(act, key, order)
            act.moves.append((None, opened.incident))
            return act

        enacted = await self._ledger.enact(plan, order)
        assert opened is not None
        minted = None
        if opened.replacement is not None:
            minted = Minted(
                record=enacted.the(KeyRecord, opened.replacement.key_id),
                secret="" if order.is_dry_run else opened.secret,
                enforced=enacted.enforced,
            )
        return Compromised(
            incident=enacted.the(Incident, opened.incident.incident_id),
            revoked=enacted.the(KeyRecord, key_id),
            minted=minted,
            enforced=enacted.enforced,
        )

    async def get(self, incident_id: str) -> Incident:
        """Return the incident."""
        return await self._ledger.read(Incident, incident_id)

    async def page(
        self,
        *,
        tenant_id: str = "",
        tenant_ids: tuple[str, ...] | None = None,
        key_id: str = "",
        after: str = "",
        limit: int = 100,
        sort: Sort | None = None,
    ) -> Page[Incident]:
        """Return one page of incidents, among those of `tenant_ids` (None: all)."""
        where = {"tenant_id": among(tenant_id, tenant_ids), "key_id": key_id}
        return await self._ledger.page(Incident, where=where, after=after, limit=limit, sort=sort)

    def _open(
        self, act: Act, key: KeyRecord, order: Order, since: float, with_replacement: bool
    ) -> _Opened:
        """Add to `act` what is made: an incident, and a replacement if one is wanted."""
        now, incident_id = self._clock.now(), self._mint.new_id("inc")
        new, secret = None, ""
        if with_replacement:
            new, secret = self._mint.successor(key, now, self._policies.capped(key, now))
            act.moves.append((None, new))
            created, after = ChangeType.KEY_CREATED, described(new)
            act.changes.append(
                self._ledger.change(new, created, order, after=after, subject_id=incident_id)
            )
        incident = Incident(
            incident_id=incident_id,
            tenant_id=key.tenant_id,
            key_id=key.key_id,
            lineage_id=key.lineage_id,
            replacement_key_id="" if new is None else new.key_id,
            since=since,
            opened_at=now,
            opened_by=order.actor.name,
            reason=order.reason,
        )
        told = {"since": since, "replacement_key_id": incident.replacement_key_id}
        event = ChangeType.KEY_COMPROMISED
        act.changes.append(
            self._ledger.change(key, event, order, after=told, subject_id=incident_id)
        )
        return _Opened(incident, new, secret)

    def _require(self, order: Order, since: float) -> None:
        now = self._clock.now()
        problems = self._rules.problems({"reason": order.reason}, now)
        if not 0 <= since <= now:
            problems.append(("/since", "must not lie in the future, nor before 1970"))
        if problems:
            raise Refused(problems)
