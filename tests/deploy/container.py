"""Runs commands as the image would, where there is no Docker: in namespaces for mounts, network and processes, on a
root that cannot be written to, as the user of the image, without capabilities, as the first process.

The root has this machine's programs and libraries, this interpreter and these sources, and from the image what its
Dockerfile copies to `/etc/tollhouse`. It needs the rights to make namespaces (root).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.waiting import eventually

ROOT = Path(__file__).parents[2]
USER = "10001"

# $1: where the root is made, $2: the folder with etc, secrets and data, $3...: folders of this machine, then `--` and
# the command. What Docker mounts into every container is mounted here, too; /tmp is not there at all.
_ENTER = """
set -eu
root=$1 given=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"; mount --rbind -o ro "$1" "$root$1"; shift
done
shift
for each in bin lib lib64 sbin; do [ ! -e /$each ] || [ -e "$root/$each" ] || ln -s usr/$each "$root/$each"; done
mkdir -p "$root/proc" "$root/dev" "$root/etc/tollhouse" "$root/run/secrets" "$root/var/lib/tollhouse"
mount -t proc proc "$root/proc"
for each in null urandom; do : > "$root/dev/$each"; mount --bind /dev/$each "$root/dev/$each"; done
mount --bind -o ro "$given/etc" "$root/etc/tollhouse"
mount --bind -o ro "$given/secrets" "$root/run/secrets"
mount --bind "$given/data" "$root/var/lib/tollhouse"
ip link set lo up
mount -o remount,ro "$root"
exec chroot "$root" env -C /etc/tollhouse "$@"
"""
_AS_USER = (
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all", "--bounding-set=-all", "--",
)  # fmt: skip


def why_not() -> str:
    """Return why no container can be made here, or nothing."""
    missing = [name for name in ("unshare", "nsenter", "setpriv", "ip") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} is not installed"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False, capture_output=True
    )
    return "" if tried.returncode == 0 else "namespaces cannot be made here"


@dataclass
class Container:
    """Something that runs; `pid` is that of its first process, as seen from outside."""

    process: subprocess.Popen[str]
    pid: int
    log: Path

    def execute(self, *command: str, status: int = 0) -> str:
        """Do what `docker exec` does; return what was printed."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--root",
             "--wdns=/etc/tollhouse", *_AS_USER, *command],
            capture_output=True, text=True, timeout=60, check=False, env=environment(),
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr + self.log.read_text()
        return done.stdout

    def stop(self) -> int:
        """Do what `docker stop` does; return the exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(30)


def environment() -> dict[str, str]:
    """Return what the processes see: nothing of this machine."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextmanager
def container(folder: Path, command: Sequence[str]) -> Iterator[Container]:
    """Run a command over `folder`, which has `etc`, `secrets` and `data`."""
    log = folder / "log"
    (folder / "root").mkdir(exist_ok=True)
    shutil.chown(folder / "data", int(USER), int(USER))
    seen = dict.fromkeys(["/usr", sys.base_prefix, sys.prefix, str(ROOT)])
    with log.open("w") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER,
             "enter", str(folder / "root"), str(folder), *seen, "--", *_AS_USER, *command],
            stdout=output, stderr=output, text=True, env=environment(), cwd="/",
        )  # fmt: skip
    try:
        pid = _child(process)
        started = Path(f"/proc/{pid}/cmdline")
        eventually(lambda: process.poll() is not None or started.read_text().startswith(command[0]))
        assert process.poll() is None, log.read_text()
        yield Container(process, pid, log)
    finally:
        if process.poll() is None:
            # `--kill-child` is forgotten when the child becomes another user.
            for pid in _children(process):
                os.kill(pid, signal.SIGKILL)
            process.kill()
        process.wait(10)


def _child(process: subprocess.Popen[str]) -> int:
    eventually(lambda: bool(_children(process)))
    return _children(process)[0]


def _children(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]
