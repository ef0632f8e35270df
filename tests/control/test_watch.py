from __future__ import annotations

from pathlib import Path

from gateway.config.sources import Sources, look
from gateway.control.watch import Watch


def watched(path: Path) -> Watch:
    return Watch(Sources({path: look(path)}, {}))


async def test_an_unchanged_file_is_no_news_however_often_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, "same")
    watch = watched(path)
    for _ in range(3):
        write(path, "same")
        assert await watch.look() is None


async def test_a_changed_file_counts_when_two_looks_find_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, "one")
    watch = watched(path)
    write(path, "half of ")
    assert await watch.look() is None
    write(path, "half of two")
    assert await watch.look() is None
    assert (await watch.look()) == Sources({path: look(path)}, {})


async def test_it_counts_again_and_again_until_somebody_has_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, "one")
    watch = watched(path)
    write(path, "two")
    assert await watch.look() is None
    changed = await watch.look()
    assert changed is not None
    assert await watch.look() == changed
    watch.know(changed)
    assert await watch.look() is None


async def test_a_file_that_goes_back_to_what_it_was_is_no_news(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, "one")
    watch = watched(path)
    write(path, "two")
    assert await watch.look() is None
    write(path, "one")
    assert await watch.look() is None
    assert await watch.look() is None


def write(path: Path, text: str) -> None:
    path.write_text(text)
