"""The process of a worker, from its first moment on: what it leaves to its supervisor, and what it imports.

Knows signals and how the interpreter starts. It must not know what a worker does: that is `worker`, imported here when
signals are settled and without looking for garbage among what it brings.
"""

from __future__ import annotations

import faulthandler
import signal
import socket
import sys
from typing import Final

from gateway.control.garbage import keep_imported, not_looking
from gateway.control.spawn import DUMP_SIGNAL

_LEFT_TO_SUPERVISOR: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Terminals and service managers send these to every process; only the supervisor knows what to do, and says so."""


def main(arguments: list[str]) -> None:
    """Run a worker process; the arguments are the number of its descriptor of the channel, and the version it has to
    be.
    """
    for number in _LEFT_TO_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    with not_looking():
        import uvloop

        from gateway.assembly.worker import serve
    keep_imported()
    sock = socket.socket(fileno=int(arguments[0]))
    sock.setblocking(False)
    uvloop.run(serve(sock, arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
