"""`tollhouse keys scan`: finds keys in files, folders and standard input, without asking anybody.

Knows how a token is told from everything else: by the head of a configured format, its length and its checksum (CRC-32:
of four billion look-alikes one passes). It must not print one: only its masked form leaves.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gateway.cli.client import DONE, REFUSED, WRONG_USAGE
from gateway.cli.output import Printer, add_output_option
from gateway.domain.key_format import (
    CHECKSUM_LENGTH,
    TOKEN_LENGTH_MAX,
    KeyFormat,
    KeyFormats,
    ReadToken,
)

CHUNK_BYTES: Final = 1024 * 1024
FINDINGS_MAX: Final = 10_000
"""More say nothing new, and would fill the memory when somebody scans a heap of test data."""

_COLUMNS: Final = ("place", "key", "format", "environment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A key at a place; `line` counts from 1, `key` is masked."""

    source: str
    line: int
    format: str
    environment: str
    key: str


class TokenFinder:
    """Finds tokens of `formats` that have a checksum; `without_checksum` are the names of those that have none."""

    def __init__(self, formats: Iterable[KeyFormat]) -> None:
        formats = tuple(formats)
        checked = [each for each in formats if each.has_checksum]
        self.without_checksum = [each.name for each in formats if not each.has_checksum]
        self._formats = KeyFormats(checked)
        self._heads = [
            (head, len(head) + each.random_length + CHECKSUM_LENGTH)
            for each in checked
            for head in (f"{each.prefix}_{name}_".encode() for name in each.environments)
        ]

    def scan(self, stream: BinaryIO, source: str) -> Iterator[Finding]:
        """Yield what is in `stream`, a part of it in memory at a time."""
        data, line = b"", 1
        while True:
            chunk = stream.read(CHUNK_BYTES)
            data += chunk
            # A token that begins in the last bytes may go on in the next chunk.
            end = max(0, len(data) - TOKEN_LENGTH_MAX) if chunk else len(data)
            counted = 0
            for start, token in sorted(self._tokens(data, end)):
                line += data.count(b"\n", counted, start)
                counted = start
                found = self._finding(token, source, line)
                if found is not None:
                    yield found
            if not chunk:
                return
            line += data.count(b"\n", counted, end)
            data = data[end:]

    def _tokens(self, data: bytes, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield what has the head and the length of a token, where it begins before `end`."""
        for head, length in self._heads:
            start = data.find(head)
            while 0 <= start < end:
                yield start, data[start : start + length]
                start = data.find(head, start + 1)

    def _finding(self, token: bytes, source: str, line: int) -> Finding | None:
        read = self._formats.read(token)
        if not isinstance(read, ReadToken):
            return None
        key_format = self._formats.get(read.format)
        assert key_format is not None, read
        return Finding(
            source=source,
            line=line,
            format=read.format,
            environment=read.environment,
            key=key_format.display(token.decode()),
        )


def register(inner: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to those of `keys`."""
    parser = inner.add_parser(
        "scan",
        help="find keys in files and folders, offline",
        description="Find keys of the configured formats in files, folders and standard input, without asking"
        " anybody. Prints where each is, and its masked form. Exits with 1 if there is one.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="file or folder; - is standard input"
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config.yaml"),
        help="configuration with the key formats (default: %(default)s)",
    )
    add_output_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from gateway.assembly.policy import key_formats
    from gateway.config.load import load
    from gateway.config.problems import ConfigErrors

    printer = Printer(options.output)
    try:
        formats = key_formats(load(options.config, os.environ))
    except ConfigErrors as errors:
        printer.message(str(errors))
        return WRONG_USAGE
    return scan(options.paths, TokenFinder(formats), printer)


def scan(paths: Sequence[str], finder: TokenFinder, printer: Printer) -> int:
    """Print what is found below `paths`; return the exit status: 1 when something was, 2 when a path cannot be read."""
    for name in finder.without_checksum:
        printer.message(f"keys of format '{name}' have no checksum and are not looked for")
    unread: list[str] = []
    findings: list[Finding] = []
    for found in _everywhere(paths, finder, unread):
        findings.append(found)
        if len(findings) == FINDINGS_MAX:
            printer.message(f"stopped after {FINDINGS_MAX} findings")
            break
    rows = [
        {
            "place": f"{each.source}:{each.line}",
            "file": each.source,
            "line": each.line,
            "key": each.key,
            "format": each.format,
            "environment": each.environment,
        }
        for each in findings
    ]
    if rows or printer.form != "table":
        printer.entries(rows, _COLUMNS)
    for text in unread:
        printer.message(f"not read: {text}")
    printer.message(f"{len(rows)} key{'' if len(rows) == 1 else 's'} found")
    return REFUSED if rows else WRONG_USAGE if unread else DONE


def _everywhere(paths: Sequence[str], finder: TokenFinder, unread: list[str]) -> Iterator[Finding]:
    """Yield what is in all files; name in `unread` what could not be read."""
    for path in paths:
        if path == "-":
            yield from finder.scan(sys.stdin.buffer, "-")
            continue
        for file in _files(path, unread):
            try:
                with file.open("rb") as stream:
                    yield from finder.scan(stream, str(file))
            except OSError as error:
                unread.append(f"{file}: {error.strerror}")


def _files(path: str, unread: list[str]) -> Iterator[Path]:
    """Yield the file, or all regular files below the folder; links are not followed."""
    if not Path(path).is_dir():
        yield Path(path)
        return
    failed: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=failed.append):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file
    unread += [f"{error.filename}: {error.strerror}" for error in failed]
