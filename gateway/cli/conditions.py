"""What every verb that changes something may be told: only try, and only if nobody else has changed it.

Knows the two options and how they go into a request. It must not know what is changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field


def add_condition_options(parser: argparse.ArgumentParser) -> None:
    """Add `--dry-run` and `--if-match`."""
    group = parser.add_argument_group("conditions")
    group.add_argument(
        "--dry-run", action="store_true", help="say what would be done or refused; change nothing"
    )
    group.add_argument(
        "--if-match",
        type=_revision,
        metavar="REVISION",
        help="change it only while it is in this revision, as `show` printed it",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What goes along with every request that changes something."""

    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Conditions:
        """Return what the options ask for; verbs that only read have none."""
        is_dry_run = getattr(options, "dry_run", False)
        revision = getattr(options, "if_match", None)
        return cls(
            query={"dry_run": "true"} if is_dry_run else {},
            headers={} if revision is None else {"If-Match": f'"{revision}"'},
        )


def _revision(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError("must be the number that `show` prints as revision")
    return int(text)
