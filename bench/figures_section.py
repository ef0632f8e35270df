"""A page of figures that several commands write: each has its own part between two marks."""

from __future__ import annotations

from pathlib import Path

from bench.machine import Unusable


def replace_section(page: Path, command: str, text: str) -> None:
    """Replace what stands between the marks of `command` in `page`. Raises `Unusable` when they are missing."""
    begin, end = (f"<!-- written by make {command}: {mark} -->\n" for mark in ("begin", "end"))
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise Unusable(f"{page}: the marks of {command} are missing: {begin.strip()}")
    page.write_text(f"{before}{begin}{text}\n{end}{after}", "utf-8")
