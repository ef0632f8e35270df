from __future__ import annotations

import os
import socket
import stat
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.assembly.sockets import BindError, bound, describe


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("setting", ["127.0.0.1:0", "localhost:0"])
def test_port_0_takes_a_free_port_and_says_which(setting: str, config_path: Path) -> None:
    with bound(setting, config_path) as sock:
        host, _, port = describe(sock).rpartition(":")
        assert host in ("127.0.0.1", "[::1]")
        assert int(port) > 0
        assert not sock.getblocking()


def test_an_ipv6_address_is_described_in_brackets_and_stays_ipv6(config_path: Path) -> None:
    with bound("[::1]:0", config_path) as sock:
        assert describe(sock).startswith("[::1]:")
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_port_that_is_taken_is_named(config_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        setting = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(BindError, match=f"cannot listen on {setting}: Address already in use"),
            bound(setting, config_path),
        ):
            pass


def test_an_address_of_another_machine_is_named(config_path: Path) -> None:
    with (
        pytest.raises(BindError, match=r"cannot listen on 192\.0\.2\.1:0"),
        bound("192.0.2.1:0", config_path),
    ):
        pass


def test_a_port_is_free_again_at_the_end(config_path: Path) -> None:
    with bound("127.0.0.1:0", config_path) as sock:
        setting = describe(sock)
        sock.listen()
    with bound(setting, config_path) as again:
        assert describe(again) == setting


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_unix_socket_has_its_mode_whatever_the_umask(mode: int, config_path: Path) -> None:
    for umask in (0, 0o077, 0o022):
        before = os.umask(umask)
        try:
            with bound("unix:run/x.sock", config_path, mode=mode) as sock:
                path = config_path.parent / "run" / "x.sock"
                assert stat.S_IMODE(path.stat().st_mode) == mode
                assert describe(sock) == f"unix:{path}"
            assert os.umask(umask) == umask
        finally:
            os.umask(before)


def test_a_unix_socket_is_for_its_owner_alone_unless_told_otherwise(config_path: Path) -> None:
    with bound("unix:x.sock", config_path):
        assert stat.S_IMODE((config_path.parent / "x.sock").stat().st_mode) == 0o600


def test_a_folder_that_is_made_for_a_socket_is_for_its_owner_alone(config_path: Path) -> None:
    with bound("unix:deep/er/x.sock", config_path):
        assert stat.S_IMODE((config_path.parent / "deep" / "er").stat().st_mode) == 0o700


def test_a_unix_socket_is_removed_at_the_end_even_when_its_server_closed_it(
    config_path: Path,
) -> None:
    path = config_path.parent / "x.sock"
    with bound("unix:x.sock", config_path) as sock:
        assert path.exists()
        sock.close()  # as an event loop does with the socket of a server
    assert not path.exists()


def test_a_socket_that_a_dead_process_left_is_replaced(config_path: Path) -> None:
    path = config_path.parent / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    with bound("unix:x.sock", config_path) as sock:
        sock.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_that_is_served_is_left_alone(config_path: Path) -> None:
    path = config_path.parent / "x.sock"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        with (
            pytest.raises(BindError, match=r"cannot listen on unix:x\.sock"),
            bound("unix:x.sock", config_path),
        ):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_server_that_is_too_busy_to_answer_is_alive(config_path: Path) -> None:
    path = config_path.parent / "x.sock"
    with ExitStack() as stack:
        live = stack.enter_context(socket.socket(socket.AF_UNIX))
        live.bind(str(path))
        live.listen(0)
        for _ in range(3):  # fill the queue
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        with pytest.raises(BindError):
            stack.enter_context(bound("unix:x.sock", config_path))
        assert path.is_socket()


def test_a_file_that_is_no_socket_is_never_removed(config_path: Path) -> None:
    path = config_path.parent / "x.sock"
    path.write_text("precious")
    with pytest.raises(BindError), bound("unix:x.sock", config_path):
        pass
    assert path.read_text() == "precious"


def test_a_socket_that_another_process_put_in_its_place_is_left_alone(config_path: Path) -> None:
    path = config_path.parent / "x.sock"
    with ExitStack() as stack:
        with bound("unix:x.sock", config_path):
            path.rename(config_path.parent / "old.sock")  # keeps the inode number in use
            stack.enter_context(bound("unix:x.sock", config_path))
        assert path.is_socket()
    assert not path.exists()


def test_a_path_that_is_too_long_for_a_socket_is_named(config_path: Path) -> None:
    with pytest.raises(BindError, match="too long"), bound("unix:" + "x" * 200, config_path):
        pass


@pytest.mark.parametrize("setting", ["127.0.0.1:0", "unix:run/a.sock"])
def test_of_two_that_start_at_the_same_time_the_second_is_refused_at_once(
    setting: str, config_path: Path
) -> None:
    """Bound and listening is one step: nobody else gets the address before the first serves."""
    with ExitStack() as stack:
        first = stack.enter_context(bound(setting, config_path))
        taken = setting if setting.startswith("unix") else describe(first)
        with pytest.raises(BindError, match="Address already"):
            stack.enter_context(bound(taken, config_path))


def test_who_connects_before_we_serve_is_not_refused(config_path: Path) -> None:
    with (
        bound("127.0.0.1:0", config_path) as sock,
        socket.create_connection(sock.getsockname(), 5) as client,
    ):
        assert client.getpeername() == sock.getsockname()


def test_many_that_want_one_unix_socket_at_once_leave_it_to_one(config_path: Path) -> None:
    """Also when a dead process left its file: nobody removes the fresh socket of another."""
    path = config_path.parent / "a.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    for _ in range(20):
        gate, winners, losers = threading.Barrier(4), list[int](), list[BindError]()
        leave = threading.Event()

        def take(
            gate: threading.Barrier = gate,
            winners: list[int] = winners,
            losers: list[BindError] = losers,
            leave: threading.Event = leave,
        ) -> None:
            gate.wait()
            try:
                with bound("unix:a.sock", config_path):
                    winners.append(1)
                    leave.wait(10)
            except BindError as error:
                losers.append(error)

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(winners) + len(losers) < 4:
            leave.wait(0.001)
        leave.set()
        for thread in threads:
            thread.join()
        assert (len(winners), len(losers)) == (1, 3)
