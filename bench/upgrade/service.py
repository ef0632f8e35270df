"""As much of systemd as a service with `Type=notify` and a socket unit needs.

Knows sd_listen_fds(3) and sd_notify(3): it holds the public socket, hands it to whoever is started, and hears when that
one serves. Two services may be given one socket, as with `Sockets=` of two units.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from bench.machine import Unusable
from bench.upgrade.versions import Version

_BACKLOG: Final = 4096
"""As in deploy/systemd/tollhouse.socket."""

_READY_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 90.0

_HAND_OVER: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
    " os.execv(sys.argv[2], sys.argv[2:])"
)
"""The process that the gateway becomes makes the socket its descriptor 3, and says who has it."""


class Service:
    """One unit: a folder with `config.yaml`, the socket that systemd would hold, and the process while it runs.

    `told` is what the processes said to the service manager.
    """

    def __init__(self, folder: Path, public: socket.socket) -> None:
        self.folder = folder
        self._public = public
        self._process: subprocess.Popen[bytes] | None = None
        self.told: list[str] = []
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.settimeout(_LOOK_SECONDS)
        self._notified.bind(str(folder / "notify.sock"))

    @property
    def log(self) -> Path:
        return self.folder / "out.log"

    @property
    def port(self) -> int:
        return int(self._public.getsockname()[1])

    def start(self, version: Version) -> None:
        """Start that version, and return when it says that it serves. Raises `Unusable`."""
        environ = os.environ | {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "public",
            "NOTIFY_SOCKET": str(self.folder / "notify.sock"),
            "PYTHONPATH": str(version.folder),
        }
        descriptor = self._public.fileno()
        gateway = [sys.executable, "-m", "gateway", "run", "--log-format", "json"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _HAND_OVER, str(descriptor)),
                    *(*gateway, "--config", str(self.folder / "config.yaml")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=version.folder,
                env=environ,
                pass_fds=[descriptor],
                start_new_session=True,
            )
        while not self._heard().startswith("READY=1\nSTATUS=serving on 127.0.0.1:"):
            continue

    def _heard(self) -> str:
        """Return what the process says next. Raises `Unusable` when it ends instead, or is silent for too long."""
        assert self._process is not None
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            has_ended = self._process.poll() is not None
            with suppress(TimeoutError):
                self.told.append(self._notified.recv(1000).decode())
                return self.told[-1]
            if has_ended:
                break
        raise Unusable(f"the gateway does not serve:\n{self.log.read_text()[-2000:]}")

    def admin(self) -> aiohttp.ClientSession:
        """Return a session with its admin API."""
        connector = aiohttp.UnixConnector(str(self.folder / "admin.sock"))
        return aiohttp.ClientSession("http://tollhouse", connector=connector)

    def stop(self) -> int:
        """Stop it as systemd does; return its status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._notified.close()


def listening() -> socket.socket:
    """Return a socket as a socket unit holds it."""
    return socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
