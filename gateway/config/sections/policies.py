"""Policies for keys: how often they are rotated, how long they may live, who is told in time."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gateway.config.sections.base import Section
from gateway.config.sections.values import Duration, DurationOrOff, Granted, Name, Tag


class KeyMatch(Section):
    """Which keys a rule is about: every criterion that is given must fit. `{}` is every key."""

    scopes: tuple[Granted, ...] = ()
    """Keys that may do any of this: atoms, bundles and wildcards."""
    tags: tuple[Tag, ...] = ()
    """Keys that have any of these tags."""
    templates: tuple[Name, ...] = ()
    """Keys that were made from any of these templates."""


class RotationPolicy(Section):
    """How often some keys are to be rotated. Overdue keys go on working, and are shown as overdue."""

    may_be_empty: ClassVar[bool] = False

    match: KeyMatch = Field(default_factory=KeyMatch)
    """Which keys."""
    every: Duration
    """How long after its creation a key is due."""


class ExpiryPolicy(Section):
    """How long some keys may live at most."""

    may_be_empty: ClassVar[bool] = False

    match: KeyMatch = Field(default_factory=KeyMatch)
    """Which keys."""
    lifetime_max: Duration
    """The longest time from the creation of a key to its `expires_at`."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """`enforce` refuses a key that would live longer, also one without an end; `shadow` only warns
    whoever creates it."""


class Policies(Section):
    """Rules for the life of keys. Of each list, the first rule that fits a key counts."""

    rotation: tuple[RotationPolicy, ...] = ()
    """When keys are due for rotation. None by default: nobody is told that a key is overdue."""
    expiry: tuple[ExpiryPolicy, ...] = ()
    """How long keys may live. None by default: a key may live for ever. Keys that exist already are
    judged when their scopes, tags or end are changed."""
    rotation_grace: DurationOrOff = 604800.0
    """How long both keys of a rotation work, unless it says otherwise itself. A week: long enough
    for a deployment; 0 ends the old key at once."""
    leaks: Literal["report", "suspend", "revoke"] = "report"
    """What is done about a key that is reported as leaked (`POST /leaks`): `report` tells of it, and
    leaves it to you; `suspend` stops it until somebody has looked; `revoke` ends it, and opens an
    incident."""
    reminders: tuple[Duration, ...] = (604800.0,)
    """How long before its expiry the owner of a key is reminded, once each."""
