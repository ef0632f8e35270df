"""`tollhouse fmt`: writes configuration files in their one form.

Knows files, and that one is replaced as a whole or not at all. What the form is, `config.formatting` says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final, TextIO

from gateway.cli.statuses import DONE, REFUSED
from gateway.config.formatting import CannotFormat, formatted

STDIN: Final = Path("-")


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "fmt",
        help="format configuration files, with their comments",
        description="Format configuration files: indentation, blank lines, lines of 120 characters. Comments, quotes"
        " and the order of keys stay, and so does what the file means; a file for which that cannot be had is left as"
        " it is, named, and the exit status is 1.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        default=[Path("config.yaml")],
        metavar="FILE",
        help="files (default: config.yaml); - reads standard input and writes standard output",
    )
    parser.add_argument(
        "--check", action="store_true", help="only name the files that are not formatted; exit 1"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    statuses = [
        fmt(path, is_check=options.check, out=sys.stdout, err=sys.stderr) for path in options.files
    ]
    return max(statuses)


def fmt(path: Path, *, is_check: bool, out: TextIO, err: TextIO) -> int:
    """Format one file, or only say whether it would change; return the exit status."""
    try:
        text = sys.stdin.read() if path == STDIN else path.read_bytes().decode("utf-8")
        result = formatted(text)
        if path == STDIN and not is_check:
            out.write(result)
        elif result != text and not is_check:
            _replace(path.resolve(), result)
            err.write(f"formatted {path}\n")
    except (CannotFormat, OSError, UnicodeDecodeError) as error:
        err.write(f"{path}: {error}\n")
        return REFUSED
    if is_check and result != text:
        out.write(f"{path}\n")
        return REFUSED
    return DONE


def _replace(path: Path, text: str) -> None:
    """Put `text` in the place of the file, with the mode and owner that it has."""
    status = path.stat()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, beside)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(beside, status.st_uid, status.st_gid)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
