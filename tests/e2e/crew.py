"""A gateway with two workers, and clients that keep their connections and say what became of each."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.process import Running, running, write_config
from tests.e2e.waiting import eventually

CONNECTIONS = 16


@contextmanager
def two_workers(folder: Path, upstream: str, **replaced: str) -> Iterator[Running]:
    """Run a gateway with two workers and a tenant; `replaced` are further changes of its configuration."""
    text = write_config(folder, upstream).read_text()
    for old, new in {"#workers: 1": "workers: 2", **replaced}.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    with running(folder, upstream, text) as gateway:
        admin(gateway, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
        yield gateway


class AdminConnection(http.client.HTTPConnection):
    """A connection to the admin socket. Not the command: starting one takes seconds on a busy machine."""

    def __init__(self, gateway: Running) -> None:
        super().__init__("tollhouse", timeout=60)
        self._path = str(gateway.folder / "data" / "admin.sock")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


def admin(gateway: Running, method: str, path: str, body: object = None, status: int = 200) -> Any:
    """Ask the admin API; return the JSON of its answer."""
    connection = AdminConnection(gateway)
    try:
        fields = {"Content-Type": "application/json"}
        connection.request(method, f"/admin/v1{path}", json.dumps(body or {}), fields)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == status, text
    return json.loads(text)


def create_key(gateway: Running) -> tuple[str, str]:
    """Mint a key that may do everything; return its id and its secret."""
    wish = {"tenant_id": "acme", "name": "k", "environment": "live", "scopes": ["*"]}
    made = admin(gateway, "POST", "/keys", wish, 201)
    return made["key"]["key_id"], made["secret"]


def workers(gateway: Running) -> list[dict[str, Any]]:
    """Return the workers that serve or drain, as operators see them."""
    listed: list[dict[str, Any]] = admin(gateway, "GET", "/workers")["data"]
    return [worker for worker in listed if worker["state"] != "starting"]


def pids(gateway: Running) -> list[int]:
    """Return the workers that serve, in the order of their slots."""
    return [worker["pid"] for worker in workers(gateway) if worker["state"] == "serving"]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Client:
    """One connection that is kept for as long as it holds."""

    def __init__(self, gateway: Running, secret: str = "") -> None:
        host, _, port = gateway.public.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self._connection.connect()
        assert self._connection.sock is not None
        self._fields = {"Authorization": f"Bearer {secret}"} if secret else {}

    def get(self, path: str) -> int:
        """Return the status. Raises `OSError` or `HTTPException` when the connection does not hold."""
        if self._connection.sock is None:
            raise ConnectionResetError("the connection was closed")
        self._connection.request("GET", path, headers=self._fields)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def holds(self, path: str) -> bool:
        """Tell whether a request is answered."""
        try:
            return self.get(path) == 200
        except (OSError, http.client.HTTPException):
            return False

    def close(self) -> None:
        self._connection.close()


class Clients:
    """All clients of one test, closed at its end."""

    def __init__(self) -> None:
        self._all: list[Client] = []

    def open(self, gateway: Running, secret: str = "", count: int = 1) -> list[Client]:
        opened = [Client(gateway, secret) for _ in range(count)]
        self._all += opened
        return opened

    def scattered(self, gateway: Running, path: str, secret: str = "") -> list[Client]:
        """Open connections until each worker has some: the kernel deals them out by chance."""
        clients = self.open(gateway, secret, CONNECTIONS)
        assert [client.get(path) for client in clients] == [200] * CONNECTIONS
        assert all(worker["connections"] > 0 for worker in workers(gateway))
        return clients

    def close(self) -> None:
        for client in self._all:
            client.close()


class Load:
    """Asks without pause until stopped: every client on its own connection. `broken` are those that did not hold."""

    def __init__(self, clients: list[Client], path: str) -> None:
        self.broken: list[Client] = []
        self.answered = 0
        self._path = path
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(each,)) for each in clients]
        for thread in self._threads:
            thread.start()

    def _ask(self, client: Client) -> None:
        while not self._stopping.is_set():
            if not client.holds(self._path):
                self.broken.append(client)
                return
            self.answered += 1

    def answers_more(self) -> None:
        """Wait until some more requests were answered."""
        before = self.answered
        eventually(lambda: self.answered > before + 20)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)


class Newcomers:
    """Opens one connection after the other, each for one request, until stopped. `failed` are those without answer."""

    def __init__(self, gateway: Running, path: str) -> None:
        self.failed = 0
        self.served = 0
        self._gateway = gateway
        self._path = path
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._come)
        self._thread.start()

    def _come(self) -> None:
        while not self._stopping.is_set():
            client = Client(self._gateway)
            if client.holds(self._path):
                self.served += 1
            else:
                self.failed += 1
            client.close()

    def served_more(self) -> None:
        """Wait until some more were served."""
        before = self.served
        eventually(lambda: self.served > before + 20)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
