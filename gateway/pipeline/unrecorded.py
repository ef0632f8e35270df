"""Lets nobody in while requests cannot be recorded, where that is what was asked for (`on_failure.audit: deny`).

Stands in the place of the step that finds out who asks, so that no request pays for the question.
"""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.domain.denial import Denial, Reason
from gateway.domain.routes import Match
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.values import Principal


class Unrecorded(Authenticator):
    """Refuses every request, whoever makes it, also on routes that need no key. Nothing counts as guessing."""

    def __init__(self) -> None:
        """Need nothing."""

    def authenticate(
        self,
        match: Match,  # noqa: ARG002 - it does not matter
        address: str,  # noqa: ARG002
    ) -> Principal | Denial | Awaitable[Principal | Denial]:
        """Say that it cannot be recorded."""
        return Denial(reason=Reason.RECORDING_UNAVAILABLE, retry_after_seconds=1)
