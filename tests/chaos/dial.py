"""Connections of clients and operators: to `host:port` or to a unix socket, patient for so long and no longer."""

from __future__ import annotations

import http.client
import json
import selectors
import socket
from typing import Any


class Connection(http.client.HTTPConnection):
    """One kept connection to `where`, which is `host:port` or `unix:path`."""

    def __init__(self, where: str, timeout: float) -> None:
        self._path = where.removeprefix("unix:") if where.startswith("unix:") else ""
        super().__init__("tollhouse" if self._path else where, timeout=timeout)

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    @property
    def is_dropped(self) -> bool:
        """Tell whether the other side has ended it meanwhile, which every client looks at before it asks again."""
        if self.sock is None:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return bool(selector.select(0))


class Asker:
    """Asks on one connection, which is made anew after a failure. Not for two threads."""

    def __init__(self, where: str, timeout: float) -> None:
        self._where = where
        self._timeout = timeout
        self._connection: Connection | None = None

    def ask(
        self, method: str, path: str, fields: dict[str, str], body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return status and body; status 0 when there was no whole answer in time."""
        if self._connection is not None and self._connection.is_dropped:
            self.close()
        if self._connection is None:
            self._connection = Connection(self._where, self._timeout)
        try:
            self._connection.request(method, path, body, fields)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0, b""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Admin:
    """The admin API of one gateway, by its socket."""

    def __init__(self, where: str, timeout: float = 30.0) -> None:
        self._asker = Asker(where, timeout)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON; status 0 when there was no answer."""
        sent = None if body is None else json.dumps(body).encode()
        fields = {} if sent is None else {"Content-Type": "application/json"}
        status, text = self._asker.ask(method, f"/admin/v1{path}", fields, sent)
        return status, json.loads(text) if text else None

    def must(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON of an answer that has to be a good one."""
        status, found = self.ask(method, path, body)
        assert status in (200, 201), f"{method} {path}: {status} {found}"
        return found

    def close(self) -> None:
        self._asker.close()
