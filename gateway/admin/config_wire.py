"""What the admin API says about configurations, as JSON: paths of keys and names, never values that may be secrets."""

from __future__ import annotations

from typing import Literal, Self

from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.config.differences import RouteChange, UpstreamChange
from gateway.config.planned import CallerChange, Callers, Planned
from gateway.config.reloading import Reloaded
from gateway.domain.access import Difference, Shift
from gateway.domain.limit_changes import Effect

Result = Literal["applied", "checked", "planned", "rolled_back"]


class ConfigChange(View):
    """A key of the configuration that changes, and how."""

    path: str
    change: str


class ReloadView(View):
    """The answer to `POST /config:reload` and `POST /config:check`.

    `restart` names the keys that count only after a restart.
    """

    result: Result
    generation: int
    changes: tuple[ConfigChange, ...]
    restart: tuple[str, ...]

    @classmethod
    def of(cls, reloaded: Reloaded, result: Result) -> Self:
        """Show what came of an attempt."""
        changes = [ConfigChange(path=path, change=kind) for path, kind in reloaded.changes]
        return cls(
            result=result,
            generation=reloaded.generation,
            changes=tuple(changes),
            restart=tuple(reloaded.restart),
        )


class RollbackView(ReloadView):
    """The answer to `POST /config:rollback`; `again` is the generation whose configuration is in force once more, 0 for
    one from before the start of the gateway. `version` is the SHA-256 of its files, where known, and `taken_at` since
    when it had been in force.
    """

    again: int
    version: str | None
    taken_at: str | None

    @classmethod
    def of(cls, reloaded: Reloaded, result: Result) -> Self:
        """Show what came of an attempt."""
        return cls(
            **dict(ReloadView.of(reloaded, result)),
            again=reloaded.again,
            version=reloaded.version or None,
            taken_at=instant(reloaded.taken_at or None),
        )


class PlannedRouteView(View):
    """A route that comes, goes or changes; `keys` are the keys of its section that differ."""

    name: str
    change: str
    requests: str
    keys: tuple[str, ...]
    scopes_added: tuple[str, ...]
    scopes_removed: tuple[str, ...]
    networks_added: tuple[str, ...]
    networks_removed: tuple[str, ...]
    opens: bool
    closes: bool

    @classmethod
    def of(cls, change: RouteChange) -> Self:
        """Show `change`."""
        return cls(**{name: getattr(change, name) for name in cls.model_fields})


class UpstreamChangeView(View):
    """An upstream that comes, goes or changes; `keys` are the keys of its section that differ."""

    name: str
    change: str
    keys: tuple[str, ...]
    targets_added: tuple[str, ...]
    targets_removed: tuple[str, ...]

    @classmethod
    def of(cls, change: UpstreamChange) -> Self:
        """Show `change`."""
        return cls(**{name: getattr(change, name) for name in cls.model_fields})


class LimitView(View):
    """A limit that changes; an empty text is no limit. `keys` are those that it is about."""

    policy: str
    before: str
    after: str
    effect: Effect
    keys: int


class ShiftView(View):
    """Requests of the route `before` that go to the route `after`; null where no route takes them.

    `reason` is why they are refused where they are, `missing` the scopes for want of which.
    """

    before: str | None
    after: str | None
    reason: str
    missing: tuple[str, ...]

    @classmethod
    def of(cls, shift: Shift) -> Self:
        """Show `shift`."""
        return cls(
            before=shift.before or None,
            after=shift.after or None,
            reason=shift.reason,
            missing=shift.missing,
        )


class DifferenceView(View):
    """What somebody loses and gains."""

    losses: tuple[ShiftView, ...]
    gains: tuple[ShiftView, ...]

    @classmethod
    def of(cls, difference: Difference) -> Self:
        """Show `difference`."""
        return cls(
            losses=tuple(map(ShiftView.of, difference.losses)),
            gains=tuple(map(ShiftView.of, difference.gains)),
        )


class CallerView(DifferenceView):
    """A key, and what it loses and gains."""

    key_id: str
    name: str
    tenant_id: str
    environment: str

    @classmethod
    def of_change(cls, change: CallerChange) -> Self:
        """Show `change`."""
        return cls(
            **dict(DifferenceView.of(change.difference)),
            key_id=change.key_id,
            name=change.name,
            tenant_id=change.tenant_id,
            environment=change.environment,
        )


class CallersView(View):
    """What becomes of keys, but for revoked and expired ones: how many were looked at, lose and gain something, and the
    first of them. `unseen` says why not all were looked at; null when they were.
    """

    keys: int
    losing: int
    gaining: int
    first_losing: tuple[CallerView, ...]
    first_gaining: tuple[CallerView, ...]
    unseen: str | None

    @classmethod
    def of(cls, callers: Callers) -> Self:
        """Show `callers`."""
        return cls(
            keys=callers.keys,
            losing=callers.losing,
            gaining=callers.gaining,
            first_losing=tuple(map(CallerView.of_change, callers.first_losing)),
            first_gaining=tuple(map(CallerView.of_change, callers.first_gaining)),
            unseen=callers.unseen or None,
        )


class PlannedView(ReloadView):
    """The answer to `POST /config:plan`; `anyone` is what callers without a key lose and gain."""

    routes: tuple[PlannedRouteView, ...]
    upstreams: tuple[UpstreamChangeView, ...]
    limits: tuple[LimitView, ...]
    anyone: DifferenceView
    callers: CallersView

    @classmethod
    def of_plan(cls, planned: Planned) -> Self:
        """Show `planned`."""
        limits = [
            LimitView(
                policy=each.policy,
                before=each.before,
                after=each.after,
                effect=each.effect,
                keys=planned.callers.limited.get(each.policy, 0),
            )
            for each in planned.limits
        ]
        return cls(
            **dict(ReloadView.of(planned.reloaded, "planned")),
            routes=tuple(map(PlannedRouteView.of, planned.routes)),
            upstreams=tuple(map(UpstreamChangeView.of, planned.upstreams)),
            limits=tuple(limits),
            anyone=DifferenceView.of(planned.anyone),
            callers=CallersView.of(planned.callers),
        )
