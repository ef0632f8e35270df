"""What is wrong with a configuration, and where: collected, never raised one by one.

Knows places in files and how a problem is printed. It must not know what is checked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.config.sources import Reading

KeyPath = tuple[str | int, ...]
"""Keys and list indexes from the root of the file to a value."""

SECRET_LENGTH_MIN: Final = 16
"""A value from outside that is shorter is a port or a name; every secret of ours is longer."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Place(NamedTuple):
    """Where something stands: lines and columns count from 1; line 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Finding(NamedTuple):
    """A broken rule of the typed model, before its place in the file is known.

    `about` is the section in which a name was looked up, `related` what else the finding rests on:
    when that section, or anything in the related values, could not be read, the finding says
    nothing. A warning does not stop a gateway from starting.
    """

    path: KeyPath
    message: str
    hint: str = ""
    about: KeyPath = ()
    related: tuple[KeyPath, ...] = ()
    is_warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: `path` is printed like `routes[3].match.path`; `hint` says what may be meant.

    With `is_warning` the configuration can be used all the same.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        where = str(Place(self.file, self.line, self.column))
        where += ": warning" if self.is_warning else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}: {path}{self.message}{hint}"


class ConfigErrors(Exception):
    """The configuration is wrong; `problems` holds every mistake in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Report:
    """Collects problems, and remembers which parts are broken so that no mistake is told twice.

    `is_complete` is false when a file could not be read; `outside` are values that came from the
    environment or from files: they may be secrets, and no problem shows them. `reading` notes which
    files were read.
    """

    def __init__(self, reading: Reading | None = None) -> None:
        self.reading = reading or Reading()
        self.problems: list[Problem] = []
        self.broken: list[KeyPath] = []
        self.is_complete = True
        self.outside: set[str] = set()

    def add(
        self,
        place: Place,
        path: KeyPath,
        message: str,
        hint: str = "",
        *,
        is_warning: bool = False,
    ) -> None:
        """Note one problem."""
        file, line, column = place
        self.problems.append(
            Problem(
                file=file,
                line=line,
                column=column,
                path=written(path),
                message=message,
                hint=hint,
                is_warning=is_warning,
            )
        )

    def is_known(self, finding: Finding) -> bool:
        """Tell whether `finding` only follows from something that is broken already."""
        return any(
            (bool(finding.about) and _is_within(finding.about, bad))
            or any(
                _is_within(path, bad) or _is_within(bad, path)
                for path in (finding.path, *finding.related)
            )
            for bad in self.broken
        )

    def in_order(self) -> list[Problem]:
        """Return the problems by file (in the order in which files were read), line and column.

        A mistake within an anchor is told once, however often the anchor is used.
        """
        files = {file: n for n, file in enumerate(dict.fromkeys(p.file for p in self.problems))}
        unique: dict[tuple[str, int, int, str, str], Problem] = {}
        for problem in map(self._redacted, self.problems):
            key_name = problem.path.rpartition(".")[2]
            place = (problem.file, problem.line, problem.column)
            unique.setdefault((*place, key_name, problem.message), problem)
        return sorted(unique.values(), key=lambda p: (files[p.file], p.line, p.column))

    def _redacted(self, problem: Problem) -> Problem:
        message, hint = problem.message, problem.hint
        for value in self.outside:
            if len(value) >= SECRET_LENGTH_MIN:
                pattern = _spellings(value)
                message, hint = pattern.sub("${...}", message), pattern.sub("${...}", hint)
        return replace(problem, message=message, hint=hint)


def _spellings(value: str) -> re.Pattern[str]:
    """Return what finds `value` in a message: as it is, escaped, cut by `quoted`, or its start."""
    whole = {value, repr(value)[1:-1], quoted(value)[1:-1]}
    start = re.escape(ascii(value)[1:-1][:SECRET_LENGTH_MIN]) + r"[^\s'\"]*"
    longest_first = sorted(map(re.escape, whole), key=len, reverse=True)
    return re.compile("|".join([*longest_first, start]), re.IGNORECASE)


def _is_within(path: KeyPath, parent: KeyPath) -> bool:
    return path[: len(parent)] == parent


def written(path: KeyPath) -> str:
    """Return `path` as a person writes it: `routes[3].match.path`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _PLAIN_KEY.fullmatch(step) else quoted(step))
    return text


def quoted(text: str) -> str:
    """Return `text` in quotes, cut to 80 characters, with nothing in it that a terminal obeys."""
    return ascii(text if len(text) <= 80 else f"{text[:38]}...{text[-38:]}")


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the hint that names the candidate closest to `name`, or an empty string."""
    spellings = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), spellings, n=1, cutoff=0.6)
    return f"did you mean {quoted(spellings[close[0]])}?" if close else ""


def one_of(names: Iterable[str], limit: int = 12) -> str:
    """Return the hint that lists the possible names, at most `limit` of them."""
    ordered = sorted(names)
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return f"known here: {', '.join(ordered[:limit])}{more}" if ordered else ""
