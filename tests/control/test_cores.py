from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.control.cores import worker_count


def test_number_is_taken_as_it_is(tmp_path: Path) -> None:
    assert worker_count(7, tmp_path / "none") == 7


def test_auto_is_the_cores_that_this_process_may_use(tmp_path: Path) -> None:
    assert worker_count("auto", tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["max 100000\n", "nonsense", ""])
def test_container_without_a_quota_bounds_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert worker_count("auto", tmp_path / "cpu.max") == len(os.sched_getaffinity(0))


def test_quota_of_a_container_bounds_auto(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert worker_count("auto", tmp_path / "cpu.max") == 1
