"""A dialect in use: from a denial to the answer on the wire.

Knows which recipe fits a denial. Everything else was decided when the dialect was built.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from gateway.domain.denial import Denial, Reason
from gateway.domain.dialects.compose import ErrorAnswer, Recipe, compose, resolve
from gateway.domain.dialects.definition import Definition, Extras, Override, Site
from gateway.domain.dialects.fill import NAMED, NAMES

_NO_OVERRIDES: Final[Mapping[Reason, Override]] = MappingProxyType({})
_DEFAULT_SITE: Final = Site()


class Dialect:
    """One dialect, compiled for one site.

    `overrides` edit its table. Reasons in `hidden` are answered exactly as an unknown path is: a
    caller cannot tell a tenant that it may not touch from one that does not exist. `ValueError`
    names what does not fit.
    """

    __slots__ = ("_recipes", "name")

    def __init__(
        self,
        definition: Definition,
        site: Site = _DEFAULT_SITE,
        *,
        overrides: Mapping[Reason, Override] = _NO_OVERRIDES,
        extras: Extras = Extras.UNLESS_EXACT,
        hidden: Collection[Reason] = (),
    ) -> None:
        self.name = definition.name
        self._recipes: dict[Reason, tuple[Recipe, Callable[[Denial], object] | None, Recipe]] = {}
        for reason in Reason:
            shown = Reason.NO_ROUTE if reason in hidden else reason
            phrase = resolve(definition, shown, overrides.get(shown))
            has_extras = extras is Extras.ALWAYS or (
                extras is Extras.UNLESS_EXACT and not phrase.is_exact
            )
            recipe = partial(compose, definition, site, shown, phrase, has_extras=has_extras)
            names = NAMES[NAMED[shown]] if shown in NAMED else None
            self._recipes[reason] = (recipe(names=False), names, recipe(names=names is not None))

    def render(self, denial: Denial, request_id: bytes, now: float) -> ErrorAnswer:
        """Return the answer to `denial`; `now` is epoch seconds.

        A `HEAD` request gets the same answer without its body, which is the sender's to drop.
        """
        recipe, names, naming = self._recipes[denial.reason]
        if names is not None and names(denial):
            recipe = naming
        return recipe.answer(denial, request_id, now)
