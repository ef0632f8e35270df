"""Writes the golden files anew: `python -m tests.golden.write`."""

from __future__ import annotations

from tests.golden.cases import ROOT, all_rendered


def main() -> None:
    wanted = dict(all_rendered())
    for stale in set(ROOT.glob("*/*.http")) - set(wanted):
        stale.unlink()
    for path, content in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    print(f"{len(wanted)} golden files in {ROOT}")


if __name__ == "__main__":
    main()
