"""What keeps a gateway from starting."""

from __future__ import annotations


class CannotStart(Exception):
    """The gateway cannot be opened as it is configured; the text tells the operator what and why."""
