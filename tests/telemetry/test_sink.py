from __future__ import annotations

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
