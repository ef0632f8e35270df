"""The page that lives a key's whole life with curl does, against a real process, and says what it says (issue 5)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.process import Running

PAGE = Path(__file__).parents[2] / "docs/how-to/live-a-keys-life.md"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDED = ("bash", "curl", "jq")

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in _NEEDED), reason="needs bash, curl and jq"
)


def steps() -> list[tuple[str, str]]:
    """Return each block of commands with what the page says comes out of it."""
    found: list[tuple[str, str]] = []
    for language, text in _BLOCK.findall(PAGE.read_text("utf-8")):
        if language == "sh":
            found.append((text, ""))
        else:
            found[-1] = (found[-1][0], text)
    return found


def script(gateway: Running) -> str:
    """Return the commands as one session that says where each block ends."""
    blocks = "".join(f"{commands}echo '--- end'\n" for commands, _ in steps())
    socket = gateway.folder / "data" / "admin.sock"
    placed = blocks.replace("ADMIN=data/admin.sock", f"ADMIN='{socket}'").replace(
        "API=http://127.0.0.1:8080", f"API={gateway.url}"
    )
    assert str(socket) in placed
    assert gateway.url in placed
    return f"set -euo pipefail\n{placed}"


def test_a_whole_life_with_curl(gateway: Running) -> None:
    """HP-11, HP-12, HP-13, HP-15, JH-11, IV-17, IV-22, D3."""
    done = subprocess.run(
        ["bash", "--norc", "-c", script(gateway)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.split("--- end\n")
    for (commands, expected), said in zip(steps(), told, strict=False):
        pattern = re.escape(expected).replace("…", ".*?")
        assert re.fullmatch(pattern, said, re.DOTALL), f"{commands}\n{said}"
    assert len(told) == len(steps()) + 1
    random_parts = re.findall(r"sk_live_[0-9A-Za-z]{30,}", done.stdout + done.stderr)
    assert random_parts == []
