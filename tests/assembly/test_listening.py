from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.listening import address_of, listening
from gateway.assembly.sockets import BindError
from gateway.config import model

PUBLIC = "127.0.0.1:0"


def config(**binds: Any) -> model.Config:
    pages = binds.pop("dashboard", None)
    listeners = {"public": PUBLIC, "admin": "unix:admin.sock", "metrics": PUBLIC, **binds}
    return model.Config.model_validate(
        {
            "version": 1,
            "peppers": {"current": "p1", "p1": "x" * 32},
            "listeners": {name: {"bind": bind} for name, bind in listeners.items()},
            "dashboard": {"bind": pages},
        }
    )


def test_what_is_not_wanted_is_not_bound(tmp_path: Path) -> None:
    with listening(config(), tmp_path / "config.yaml", 1, {}) as sockets:
        assert (sockets.pages, sockets.links, sockets.questions) == ([], [], [])
        assert address_of(sockets.links) == ""
        assert address_of(sockets.admin) == f"unix:{tmp_path / 'admin.sock'}"


def test_sockets_of_operators_are_for_their_owner_and_those_of_proxies_for_the_group(
    tmp_path: Path,
) -> None:
    wanted = config(forward_auth="unix:ask.sock", metrics="unix:metrics.sock")
    with listening(wanted, tmp_path / "config.yaml", 1, {}):
        modes = {
            name: stat.S_IMODE((tmp_path / f"{name}.sock").stat().st_mode)
            for name in ("admin", "ask", "metrics")
        }
    assert modes == {"admin": 0o600, "ask": 0o660, "metrics": 0o666}


def test_of_a_port_that_is_taken_nothing_else_stays_bound(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(BindError, match=taken),
            listening(config(dashboard=taken), tmp_path / "config.yaml", 1, {}),
        ):
            pass
    assert not (tmp_path / "admin.sock").exists()


def test_a_socket_that_was_given_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        held = {"metrics": [given]}
        with listening(config(), tmp_path / "config.yaml", 2, held) as sockets:
            assert sockets.metrics == [given]
            assert len(sockets.public) == (2 if sys.platform == "linux" else 1)
