"""Where the files are that a configuration names. Apart from reading it: workers need this and never read YAML."""

from __future__ import annotations

from pathlib import Path


def anchored(config_path: Path | str, value: str) -> Path:
    """Return the path that `value` means in the file at `config_path`: relative to that file's
    folder."""
    return Path(config_path).parent / value
