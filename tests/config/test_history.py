"""The configurations that can be gone back to: what is kept, how much, and how it is read again."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from gateway.config.history import BYTES_MAX, KEPT_MAX, History, Texts
from gateway.config.load import read, read_kept
from tests.config.sample import write

MAIN = "version: 1\npeppers: {current: p1, p1: '${PEPPER}'}\ninclude: [conf.d/*.yaml]\n"
ROUTE = "routes: [{name: one, match: {path: /one}, handler: introspect}]\n"
ENVIRON = {"PEPPER": "0123456789abcdef0123456789abcdef"}


def texts(content: str) -> Texts:
    return Texts(main="c.yaml", files={"c.yaml": content}, patterns={})


def kept(path: Path) -> list[str]:
    return [each.texts.files["c.yaml"] for each in History(path).kept()]


def test_the_text_is_kept_before_placeholders_are_replaced(tmp_path: Path) -> None:
    path = write(tmp_path, MAIN)
    write(tmp_path, ROUTE, "conf.d/a.yaml")
    loaded = read(path, ENVIRON)
    assert loaded.texts is not None
    assert loaded.texts.secrets == ()
    assert loaded.texts.files == {"config.yaml": MAIN, "conf.d/a.yaml": ROUTE}
    history = History(tmp_path / "data" / "history")
    history.note(loaded.texts, 5.0)
    assert ENVIRON["PEPPER"] not in history.path.read_text()
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600


def test_what_is_kept_is_read_again_although_its_files_changed_or_left(tmp_path: Path) -> None:
    path = write(tmp_path, MAIN)
    included = write(tmp_path, ROUTE, "conf.d/a.yaml")
    first = read(path, ENVIRON)
    assert first.texts is not None
    history = History(tmp_path / "history")
    history.note(first.texts, 5.0)
    write(tmp_path, "nonsense")
    included.unlink()
    write(tmp_path, ROUTE, "conf.d/b.yaml")
    [found] = history.kept()
    again = read_kept(path, ENVIRON, found.texts)
    assert again.config == first.config
    assert again.texts == first.texts
    assert (found.taken_at, found.texts.version) == (5.0, first.texts.version)


def test_what_a_kept_text_names_is_read_as_it_is_now(tmp_path: Path) -> None:
    text = "version: 1\npeppers: {current: p1, p1: '${file:pepper}'}\n"
    secret = write(tmp_path, "a" * 32, "pepper")
    path = write(tmp_path, text)
    found = read(path, {})
    assert found.texts is not None
    assert list(found.texts.files) == ["config.yaml"]
    secret.write_text("b" * 32)
    again = read_kept(path, {}, found.texts)
    assert again.config is not None
    assert again.config.peppers.keys["p1"].get_secret_value() == "b" * 32
    secret.unlink()
    assert read_kept(path, {}, found.texts).config is None


def test_the_latest_is_last_and_a_text_is_kept_once(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    for at, content in enumerate("abca"):
        history.note(texts(content), float(at))
    assert kept(history.path) == ["b", "c", "a"]
    history.note(texts("d"), 9.0, replaced=texts("a").version)
    assert kept(history.path) == ["b", "c", "d"]


def test_no_more_are_kept_than_fit(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    for number in range(KEPT_MAX + 3):
        history.note(texts(str(number)), float(number))
    assert kept(history.path) == [str(number) for number in range(3, KEPT_MAX + 3)]
    for letter in "xy":
        history.note(texts(letter * (BYTES_MAX // 2)), 99.0)
    assert [text[0] for text in kept(history.path)] == ["y"]
    history.note(texts("y" * BYTES_MAX), 100.0)
    assert kept(history.path) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", "\xff", '{"format": "other"}'])
def test_a_file_of_another_kind_is_told_and_replaced_by_the_next(
    tmp_path: Path, content: str
) -> None:
    history = History(tmp_path / "history")
    history.path.write_text(content)
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever kind
        history.kept()
    history.note(texts("a"), 1.0)
    assert kept(history.path) == ["a"]


def test_an_entry_that_cannot_be_understood_is_told(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.note(texts("a"), 1.0)
    content = json.loads(history.path.read_text())
    del content["kept"][0]["files"]
    history.path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="cannot be understood"):
        history.kept()


def test_nothing_is_kept_before_the_first(tmp_path: Path) -> None:
    assert History(tmp_path / "history").kept() == []
