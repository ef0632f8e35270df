"""`tollhouse pepper`: makes the secret under which keys are hashed."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "pepper",
        help="create a pepper file",
        description="Write 64 random hexadecimal digits (256 bit) to a new file that only its owner can read.",
    )
    parser.add_argument("path", type=Path, help="file to create; an existing one is left alone")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    path: Path = options.path
    try:
        create_pepper(path)
    except FileExistsError:
        print(
            f"tollhouse: {path} exists and was left alone: without its pepper no key works",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(f"tollhouse: cannot create {path}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"created {path}; keep a copy where you keep secrets", file=sys.stderr)
    return 0


def create_pepper(path: Path) -> None:
    """Create the file at `path` with mode 0600 and a new pepper in it; raises `FileExistsError`, `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
