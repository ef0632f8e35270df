"""Play all scenes, or those that are named: `python -m tests.chaos --write docs/figures`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.chaos.report import Played, changes, report, seen
from tests.chaos.scene import EVERYBODY, Scene, play
from tests.chaos.scenes import SCENES
from tests.e2e.backend import demo_backend


def main() -> int:
    """Play; return how many scenes broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all without any")
    parser.add_argument("--write", type=Path, help="folder of chaos.md")
    options = parser.parse_args()
    chosen = [
        scene
        for scene in SCENES
        if not options.names or any(scene.name.startswith(name) for name in options.names)
    ]
    began = time.monotonic()
    with demo_backend() as upstream:
        played = [_played(scene, upstream) for scene in chosen]
    if options.write:
        (options.write / "chaos.md").write_text(report(played, time.monotonic() - began))
    return sum(bool(each.said) for each in played)


def _played(scene: Scene, upstream: str) -> Played:
    print(f"{scene.name}: ", end="", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as somebody else
        try:
            facts, said = play(scene, Path(folder), upstream)
        except pytest.skip.Exception as skipped:
            print(skipped, flush=True)
            return Played(scene, None, skipped=str(skipped).removeprefix("NOT TRIED: "))
        except Exception as error:  # noqa: BLE001 - told, and the next scene is played
            print(f"FAILED: {error!r}", flush=True)
            return Played(scene, None, [repr(error)], skipped="it could not be played to its end")
    after = facts.healthy_after
    healthy = "never healthy" if after is None else f"healthy after {after:.1f} s"
    print(f"{seen(facts, EVERYBODY)}; changes: {changes(facts)}; {healthy}", flush=True)
    for each in said:
        print(f"    BROKEN: {each}", flush=True)
    return Played(scene, facts, said)


if __name__ == "__main__":
    sys.exit(main())
