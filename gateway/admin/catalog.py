"""The catalogue over the admin API: what keys can be given, for whoever makes one.

Knows which parts of the configuration are no secret. It must not know how a key is judged by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from aiohttp import web

from gateway.admin.described import shows
from gateway.admin.requests import answer, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.config.model import PERIOD_SECONDS, Config, Plan
from gateway.domain.admin_tokens import Right

_PATH: Final = "/admin/v1/catalog"
_QUOTA_PERIODS: Final = ("hour", "day", "month")


class BundleView(View):
    """A named set of scopes: those of the bundles that it includes, and its own."""

    name: str
    includes: tuple[str, ...]
    add: tuple[str, ...]


class RateView(View):
    """So many requests in so many seconds, `burst` of them at once."""

    limit: int
    window_seconds: int
    burst: int


class QuotaView(View):
    """So many requests in a calendar period (UTC)."""

    limit: int
    period: str


class PlanView(View):
    """A named set of limits; `owners` are who has buckets of their own."""

    name: str
    rates: tuple[RateView, ...]
    quotas: tuple[QuotaView, ...]
    concurrency: int | None
    owners: tuple[str, ...]
    mode: str

    @classmethod
    def of(cls, name: str, plan: Plan) -> Self:
        """Show `plan`."""
        rates = (
            RateView(limit=limit, window_seconds=PERIOD_SECONDS[period], burst=rate.burst or limit)
            for rate in plan.rate
            for period, limit in rate.limits.items()
        )
        quotas = (
            QuotaView(limit=limit, period=period)
            for period in _QUOTA_PERIODS
            if (limit := getattr(plan.quota, f"per_{period}")) is not None
        )
        return cls(
            name=name,
            rates=tuple(rates),
            quotas=tuple(quotas),
            concurrency=plan.concurrency,
            owners=plan.owners,
            mode=plan.mode,
        )


class EnvironmentView(View):
    """An environment that keys belong to; `plan` counts for all of its keys."""

    name: str
    aliases: tuple[str, ...]
    is_billable: bool
    plan: str


class FormatView(View):
    """How keys of one kind look, and which environments they may belong to."""

    name: str
    prefix: str
    environments: tuple[str, ...]


class CatalogView(View):
    """What keys can be given: scopes, plans, environments and formats. Templates have a list of their own."""

    scopes: tuple[str, ...]
    bundles: tuple[BundleView, ...]
    plans: tuple[PlanView, ...]
    environments: tuple[EnvironmentView, ...]
    formats: tuple[FormatView, ...]

    @classmethod
    def of(cls, config: Config) -> Self:
        """Show what `config` declares."""
        return cls(
            scopes=config.scopes.atoms,
            bundles=tuple(
                BundleView(name=name, includes=each.includes, add=each.add)
                for name, each in config.scopes.bundles.items()
            ),
            plans=tuple(PlanView.of(name, each) for name, each in config.plans.items()),
            environments=tuple(
                EnvironmentView(
                    name=name, aliases=each.aliases, is_billable=each.billable, plan=each.plan
                )
                for name, each in config.environments.items()
            ),
            formats=tuple(
                FormatView(name=name, prefix=each.prefix, environments=each.environments)
                for name, each in config.key_formats.items()
            ),
        )


class CatalogRoutes:
    """The handler of `/admin/v1/catalog`. `settings` returns the configuration in force."""

    def __init__(self, settings: Callable[[], Config]) -> None:
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.get(_PATH, self.show, allow_head=False)]

    @needs(Right.READ, is_filtered=True)
    @shows(CatalogView)
    async def show(self, request: web.Request) -> web.Response:
        """Show what keys can be given: scopes, bundles, plans, environments, formats."""
        read_query(request, ())
        return answer(CatalogView.of(self._settings()))
