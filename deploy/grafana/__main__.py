"""Write the dashboards that are missing or differ from the code: `python -m deploy.grafana`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from deploy.grafana import keys, overview, upstreams
from deploy.grafana.board import Board

FOLDER: Final = Path(__file__).parent


def boards() -> dict[str, Board]:
    """Return the dashboards by file name."""
    made = (overview.board(), keys.board(), upstreams.board())
    return {f"{board.uid.removeprefix('tollhouse-')}.json": board for board in made}


def main() -> None:
    """Write the files and name those that changed."""
    for name, board in boards().items():
        path, text = FOLDER / name, board.json()
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
