from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.load import read
from tests.config.sample import PEPPER, write

MAIN = (
    "version: 1\ninclude: [conf.d/*.yaml]\npeppers: {current: p1, p1: '${file:pepper}', "
    "p0: '${file:missing:-" + PEPPER + "}'}\n"
)


def folder(path: Path) -> Path:
    write(path, PEPPER, "pepper")
    write(path, "plans: {a: {}}\n", "conf.d/a.yaml")
    return write(path, MAIN)


def test_what_was_read_is_the_same_until_something_changes(tmp_path: Path) -> None:
    loaded = read(folder(tmp_path), {})
    assert loaded.config is not None
    assert loaded.sources.now() == loaded.sources == read(tmp_path / "config.yaml", {}).sources


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path, MAIN + "\n"),
        lambda path: write(path, PEPPER[::-1], "pepper"),
        lambda path: write(path, "plans: {b: {}}\n", "conf.d/a.yaml"),
        lambda path: write(path, "plans: {b: {}}\n", "conf.d/b.yaml"),
        lambda path: (path / "conf.d/a.yaml").unlink(),
        lambda path: (path / "config.yaml").unlink(),
        lambda path: write(path, PEPPER, "missing"),
    ],
    ids=["main", "secret", "included", "newly included", "no longer", "gone", "appeared"],
)
def test_every_file_that_counts_is_noticed(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    sources = read(folder(tmp_path), {}).sources
    change(tmp_path)
    assert sources.now() != sources


def test_a_configuration_with_mistakes_tells_its_sources_too(tmp_path: Path) -> None:
    path = write(tmp_path, "version: 1\nroutes: [\n")
    loaded = read(path, {})
    assert loaded.config is None
    assert loaded.problems
    write(tmp_path, "version: 1\n")
    assert loaded.sources.now() != loaded.sources


def test_a_secret_that_is_too_long_is_not_taken_for_a_change(tmp_path: Path) -> None:
    path = folder(tmp_path)
    write(tmp_path, "x" * 200_000, "pepper")
    loaded = read(path, {})
    assert loaded.config is None
    assert loaded.sources.now() == loaded.sources


def test_further_files_may_be_looked_after(tmp_path: Path) -> None:
    certificate = write(tmp_path, "one", "tls.pem")
    sources = read(folder(tmp_path), {}).sources.also([certificate])
    assert sources.now() == sources
    write(tmp_path, "two", "tls.pem")
    assert sources.now() != sources
    assert b"two" not in repr(sources.now()).encode()
