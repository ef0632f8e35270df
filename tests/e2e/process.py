"""Runs the real command as a real process, in front of the demo backend, on ports of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TOLLHOUSE = (sys.executable, "-m", "gateway")


@dataclass
class Running:
    """A gateway process and where it listens."""

    process: subprocess.Popen[str]
    folder: Path
    public: str
    metrics: str
    log: Path
    access_log: Path

    @property
    def url(self) -> str:
        return f"http://{self.public}"

    def cli(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        """Run a verb against this gateway; return what it printed."""
        done = tollhouse(*arguments, "--config", str(self.folder / "config.yaml"), stdin=stdin)
        assert done.returncode == status, done.stderr + done.stdout
        return done.stdout

    def create_key(self, *arguments: str) -> tuple[str, str]:
        """Mint a key; return its id and its secret."""
        answer = json.loads(self.cli("keys", "create", *arguments, "--output", "json"))
        return answer["key_id"], answer["secret"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to stop; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(15)


def tollhouse(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*TOLLHOUSE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        cwd=ROOT,
        check=False,
    )


def write_config(folder: Path, upstream: str, **replaced: str) -> Path:
    """Write the shipped configuration with free ports, the given upstream and its own folder."""
    text = (ROOT / "config.yaml").read_text()
    for own in ("127.0.0.1:8080", "127.0.0.1:9100", "127.0.0.1:9901"):
        text = text.replace(own, "127.0.0.1:0")
    text = text.replace("http://127.0.0.1:8081", upstream)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "config.yaml"
    path.write_text(text)
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    pepper = folder / "data" / "pepper"
    if not pepper.exists():
        pepper.write_text("0123456789abcdef" * 4)
    return path


@contextmanager
def running(
    folder: Path,
    upstream: str,
    text: str = "",
    *,
    open_files: int = 0,
    log_level: str = "info",
    through: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a gateway in `folder`, on the shipped configuration or on `text`; its logs are files there.

    `open_files` is the hard limit of descriptors, 0 for that of this process. `through` is a command that becomes
    the gateway; `environment` is added to that of this process.
    """
    config = write_config(folder, upstream)
    if text:
        config.write_text(text)
    log, access_log = folder / "gateway.log", folder / "access.log"
    seen = log.stat().st_size if log.exists() else 0
    with log.open("a") as stderr, access_log.open("a") as stdout:
        process = subprocess.Popen(
            [
                *_limited(open_files),
                *through,
                *TOLLHOUSE,
                "run",
                "--config",
                str(config),
                "--log-format",
                "json",
                "--log-level",
                log_level,
            ],
            stdout=stdout,
            stderr=stderr,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
        )
    try:
        public, metrics = _addresses(process, log, seen)
        yield Running(process, folder, public, metrics, log, access_log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(15)


def _limited(open_files: int) -> list[str]:
    return ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh"] if open_files else []


def _addresses(process: subprocess.Popen[str], log: Path, seen: int) -> tuple[str, str]:
    """Wait for the line that says where the gateway serves."""
    pattern = re.compile(r"serves on (\S+), admin on \S+, metrics on (\S+?)[\"\s]")
    for _ in range(1200):
        found = pattern.findall(log.read_text()[seen:])
        if found:
            public, metrics = found[-1]
            return str(public), str(metrics)
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"the gateway did not start: {log.read_text()[seen:]}")
