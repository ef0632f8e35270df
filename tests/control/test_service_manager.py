from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.control.service_manager import ServiceManager, inherited_sockets


@contextmanager
def listening_manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield sock


@pytest.mark.parametrize("name", ["notify.sock", "@"])
def test_the_manager_hears_in_which_state_the_service_is(tmp_path: Path, name: str) -> None:
    address = f"@tollhouse-test-{os.getpid()}" if name == "@" else str(tmp_path / name)
    with listening_manager(address) as manager:
        service = ServiceManager({"NOTIFY_SOCKET": address})
        service.ready("serving on 127.0.0.1:1")
        assert manager.recv(500) == b"READY=1\nSTATUS=serving on 127.0.0.1:1"
        service.status("x" * 1000)
        assert manager.recv(500) == b"STATUS=" + b"x" * 200
        service.stopping()
        assert manager.recv(500) == b"STOPPING=1\nSTATUS=draining"


def test_without_a_manager_nothing_is_said_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        service = ServiceManager(environ)
        service.ready("serving")
        service.stopping()


async def test_the_watchdog_hears_of_a_turning_loop_twice_as_often_as_it_asks_for(
    tmp_path: Path,
) -> None:
    address = str(tmp_path / "notify.sock")
    with listening_manager(address) as manager:
        manager.setblocking(False)
        loop = asyncio.get_running_loop()
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000"}
        service = ServiceManager(environ)
        service.ready("serving")
        async with asyncio.timeout(5):
            heard = [await loop.sock_recv(manager, 500) for _ in range(4)]
        assert heard[0].startswith(b"READY=1")
        assert heard[1:] == [b"WATCHDOG=1"] * 3
        service.stopping()


def test_another_process_may_be_the_one_that_is_watched(tmp_path: Path) -> None:
    address = str(tmp_path / "notify.sock")
    with listening_manager(address) as manager:
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}
        ServiceManager(environ).ready("serving")  # needs no event loop: nobody is watched
        assert manager.recv(500).startswith(b"READY=1")


def test_sockets_that_were_opened_for_another_process_are_not_taken() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "public", "HOME": "/"}
    assert inherited_sockets(environ, os.getpid()) == {}
    assert environ == {"HOME": "/"}
    assert inherited_sockets({}, os.getpid()) == {}


@pytest.fixture
def third_descriptor() -> Iterator[None]:
    """Give the descriptor 3 back to whoever has it now."""
    kept = os.dup(3) if _is_open(3) else None
    yield
    if kept is not None:
        os.dup2(kept, 3)
        os.close(kept)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("third_descriptor")
def test_an_inherited_socket_is_known_by_its_name_and_not_passed_on() -> None:
    pid = os.getpid()
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.dup2(server.fileno(), 3)
        environ = {"LISTEN_PID": str(pid), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "public"}
        [sock] = inherited_sockets(environ, pid)["public"]
        with sock:
            assert sock.getsockname() == server.getsockname()
            assert not os.get_inheritable(3)
        assert environ == {}


@pytest.mark.usefixtures("third_descriptor")
def test_what_is_no_listening_socket_is_refused_and_named() -> None:
    pid = os.getpid()
    environ = {"LISTEN_PID": str(pid), "LISTEN_FDS": "1"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        os.dup2(sock.fileno(), 3)
        with pytest.raises(ValueError, match=r"descriptor 3 \(unknown\) is no listening stream"):
            inherited_sockets(dict(environ), pid)
    reading, writing = os.pipe()
    os.dup2(reading, 3)
    with pytest.raises(ValueError, match=r"descriptor 3 .* is no socket"):
        inherited_sockets(dict(environ), pid)
    for each in (reading, writing):
        os.close(each)
