from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.telemetry.sink import STDOUT, Sink


def test_a_file_is_appended_to_and_readable_only_by_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for text in (b"one\n", b"two\n"):
        sink = Sink(str(path))
        sink.write(text)
        sink.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o007 == 0


def test_reopening_goes_on_in_the_new_file_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = Sink(str(path))
    sink.write(b"old\n")
    path.rename(tmp_path / "access.log.1")
    sink.write(b"late\n")
    sink.reopen()
    sink.write(b"new\n")
    sink.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"old\nlate\n"
    assert path.read_bytes() == b"new\n"


def test_reopening_a_path_that_is_gone_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = Sink(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        sink.reopen()
    sink.write(b"still here\n")
    sink.close()
    assert (tmp_path / "moved" / "access.log").read_bytes() == b"still here\n"


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        Sink(str(tmp_path / "missing" / "access.log"))


def test_standard_output_is_written_to_and_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    sink = Sink(STDOUT)
    sink.write(b"one\n")
    sink.reopen()
    sink.write(b"two\n")
    sink.close()
    print("three", flush=True)
    assert capfd.readouterr().out == "one\ntwo\nthree\n"


CHILD = """
import sys
from gateway.telemetry.sink import Sink
sink = Sink(sys.argv[1])
line = sys.argv[2].encode() * 399 + b"\\n"
for _ in range(150):
    sink.write(line * 32)
"""


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_lines_of_several_processes_are_never_mixed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "access.log"
    reader = None
    if kind == "pipe":
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(path), letter], env=environment)
        for letter in "ab"
    ]
    if reader is not None:
        with os.fdopen(reader, "rb") as pipe:
            written = _read_lines(pipe.fileno(), 2 * 150 * 32 * 400)
    assert [child.wait(60) for child in children] == [0, 0]
    lines = (written if reader is not None else path.read_bytes()).splitlines()
    assert len(lines) == 2 * 150 * 32
    assert set(lines) == {b"a" * 399, b"b" * 399}


def _read_lines(reader: int, size: int) -> bytes:
    """Read `size` bytes, over the moments in which nobody has the pipe open for writing yet."""
    data = bytearray()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while len(data) < size:
        assert poll.poll(30_000)
        data += os.read(reader, 65536)
    return bytes(data)


def test_a_line_longer_than_a_pipe_takes_as_a_whole_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = Sink(str(path))
    data = b"x" * 9000 + b"\n" + b"short\n" + b"no end"
    sink.write(data)
    sink.close()
    assert os.read(reader, 65536) == data
    os.close(reader)
