"""What the exit status of a verb says."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
REFUSED: Final = 1
"""Refused, or problems were found."""
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3
"""There is nobody to ask."""
INTERRUPTED: Final = 130
"""What shells say of a program that Ctrl-C ended; one that goes on until then is done."""
