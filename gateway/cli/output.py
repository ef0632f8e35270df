"""How a command speaks: data on stdout, messages on stderr, one of three forms.

Knows tables, JSON and YAML. A table is for people and only the default on a terminal; a program
reads JSON. It must not know what the data means.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

FORMS: Final = ("table", "json", "yaml")

Entry = Mapping[str, Any]


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """Add `--output`."""
    parser.add_argument(
        "--output",
        choices=FORMS,
        help="form of the data on stdout (default: table on a terminal, else json)",
    )


class Printer:
    """Prints what a command has to say."""

    def __init__(
        self, form: str | None, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self.form = form or ("table" if self._out.isatty() else "json")

    def entry(self, entry: Entry) -> None:
        """Print one object; a table has one line per field and leaves empty fields out."""
        if self.form == "table":
            width = max(map(len, entry), default=0)
            for name, value in entry.items():
                if value not in (None, "", [], {}):
                    self.line(f"{name:<{width}}  {_cell(value)}")
        else:
            self._structured(dict(entry))

    def entries(self, entries: Sequence[Entry], columns: Sequence[str]) -> None:
        """Print a list; a table shows `columns` only."""
        if self.form != "table":
            self._structured([dict(entry) for entry in entries])
            return
        _Table(self, columns).add(entries)

    def flow(self, columns: Sequence[str]) -> Flow:
        """Return where entries are printed that come bit by bit."""
        return Flow(self, columns)

    def line(self, text: str) -> None:
        """Print a line of data."""
        self._out.write(f"{text}\n")

    def message(self, text: str) -> None:
        """Print a message for a person."""
        self._err.write(f"{text}\n")

    def flush(self) -> None:
        """Let whoever reads have everything now."""
        self._out.flush()

    def document(self, entry: Entry) -> None:
        """Print one object of a stream of them: a line of JSON, or a YAML document."""
        if self.form == "yaml":
            self.line("---")
            self._structured(dict(entry))
        else:
            self.line(json.dumps(dict(entry), ensure_ascii=False))

    def _structured(self, value: Any) -> None:
        if self.form == "yaml":
            from ruamel.yaml import YAML

            YAML(pure=True).dump(value, self._out)
        else:
            self.line(json.dumps(value, indent=2, ensure_ascii=False))


class _Table:
    """Rows below one header, as wide as the widest so far."""

    def __init__(self, printer: Printer, columns: Sequence[str]) -> None:
        self._printer = printer
        self._columns = columns
        self._widths: list[int] = []

    def add(self, entries: Sequence[Entry]) -> None:
        """Print rows; at first the header."""
        rows = [[_cell(entry.get(column)) for column in self._columns] for entry in entries]
        if not self._widths:
            rows.insert(0, [column.upper() for column in self._columns])
            self._widths = [0] * len(self._columns)
        for row in rows:
            pairs = zip(self._widths, row, strict=True)
            self._widths = [max(width, len(cell)) for width, cell in pairs]
        for row in rows:
            cells = (f"{cell:<{width}}" for cell, width in zip(row, self._widths, strict=True))
            self._printer.line("  ".join(cells).rstrip())


class Flow:
    """Entries that come bit by bit, each printed at once: rows of one table, or one object after the other."""

    def __init__(self, printer: Printer, columns: Sequence[str]) -> None:
        self._printer = printer
        self._table = _Table(printer, columns)

    def add(self, entries: Sequence[Entry]) -> None:
        """Print entries."""
        if self._printer.form == "table":
            self._table.add(entries)
        else:
            for entry in entries:
                self._printer.document(entry)
        self._printer.flush()


def _cell(value: Any) -> str:
    """Return one value as text that cannot move the cursor or break the line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    text = value if isinstance(value, str) else json.dumps(value)
    return text if text.isprintable() else json.dumps(text)
