"""The units for systemd and the file for logrotate, as those programs themselves read them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
EXPOSURE_MAX = 20
"""Of 100, as `systemd-analyze security` counts: 20 is what it calls OK, a service without any directive has 96."""


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed, so this file is NOT tested")
    return found


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The service beside its socket, with a program that exists on every machine."""
    text = (UNITS / "tollhouse.service").read_text()
    assert "/opt/tollhouse/bin/tollhouse" in text
    path = tmp_path / "tollhouse.service"
    path.write_text(text.replace("/opt/tollhouse/bin/tollhouse", "/bin/true"))
    shutil.copy(UNITS / "tollhouse.socket", tmp_path)
    return path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_nothing_wrong_with_the_units(service: Path) -> None:
    analyze = program("systemd-analyze")
    done = run(analyze, "verify", "--man=no", str(service), str(service.with_suffix(".socket")))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_locked_in(service: Path) -> None:
    analyze = program("systemd-analyze")
    threshold = f"--threshold={EXPOSURE_MAX}"
    done = run(analyze, "security", "--offline=true", "--no-pager", threshold, str(service))
    assert done.returncode == 0, done.stdout[-500:]


def test_the_socket_has_the_name_by_which_the_gateway_takes_it() -> None:
    socket = configparser.ConfigParser(strict=False, interpolation=None)
    socket.optionxform = str  # type: ignore[assignment,method-assign]
    socket.read(UNITS / "tollhouse.socket")
    assert socket["Socket"]["FileDescriptorName"] == "public"


def test_logrotate_reads_its_file_and_lets_the_gateway_reopen_the_log(tmp_path: Path) -> None:
    logrotate = program("logrotate")
    text = (DEPLOY / "logrotate" / "tollhouse").read_text()
    assert re.search(r"kill .*--signal=SIGUSR1 tollhouse\.service", text)
    log = tmp_path / "access.log"
    log.write_text("a line\n")
    rules = tmp_path / "rules"
    rules.write_text(
        text.replace("/var/log/tollhouse/*.log", str(log))
        .replace("systemctl kill --kill-whom=main --signal=SIGUSR1 tollhouse.service", "true")
        .replace("create 0640 tollhouse tollhouse", "create 0640")
    )
    rules.chmod(0o644)
    done = run(logrotate, "--force", "--state", str(tmp_path / "state"), str(rules))
    assert done.returncode == 0, done.stderr
    assert (log.read_text(), (tmp_path / "access.log.1").read_text()) == ("", "a line\n")
