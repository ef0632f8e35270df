"""The reference of all configuration keys as Markdown, generated from the model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from gateway.config.fields import Key, keys

_INTRODUCTION: Final = """\
# Configuration reference

Generated from the model; `config.yaml` shows every key with its default and the reason for it.

- A duration is `30d`, `12h`, `5m`, `10s`, `250ms`, ISO 8601 (`PT30S`) or a number of seconds.
- A size is `64KiB`, `1MiB` (1024), `10MB` (1000) or a number of bytes.
- `${NAME}`, `${NAME:-default}` and `${file:path}` stand for a variable or the content of a file in
  any value; `$$` is a dollar sign. A relative path starts at the folder of the main file.
- `hot` keys take effect with a reload, `restart` keys when the gateway is started again.
- `<name>` is a name of your choice, `[]` an entry of a list.
"""


def render_reference() -> str:
    """Return the page: one table of keys per top-level key."""
    parts = [_INTRODUCTION]
    for top, group in groupby(keys(), key=_top):
        parts.append("\n".join(_table(top, list(group))))
    return "\n".join(parts)


def _top(key: Key) -> str:
    return key.path.partition(".")[0].partition("[")[0]


def _table(top: str, rows: list[Key]) -> Iterator[str]:
    yield f"## `{top}`"
    yield ""
    yield rows[0].description
    yield ""
    yield "| Key | Type | Default | Applies | Meaning |"
    yield "|---|---|---|---|---|"
    for key in rows:
        default = f"`{key.default}`" if key.default else "required"
        cells = (f"`{key.path}`", key.type, default, key.applies, _cell(key.description))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
