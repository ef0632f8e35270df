"""The files of the dashboard: complete, under a name that changes with them, and asking nobody else for anything."""

from __future__ import annotations

import gzip
import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from gateway.admin.dashboard.shelf import load

SHELF = load()
TEXTS = {path: asset.body.decode() for path, asset in SHELF.assets.items()}
SCRIPTS = {path: text for path, text in TEXTS.items() if path.endswith(".js")}
_IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*"(\.[^"]+)";?""")
_NAMES = re.compile(r"""import\s*\{([^}]*)\}\s*from\s*"([^"]+)";""")
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)


def test_the_page_names_files_that_are_there() -> None:
    page = SHELF.index.body.decode()
    named = re.findall(rf'"/dashboard/assets/{SHELF.version}/([^"]+)"', page)
    assert named
    assert set(named) <= set(SHELF.assets)
    assert "{assets}" not in page


def module(path: str, name: str) -> str:
    """Return the path of what the module at `path` imports as `name`."""
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / name).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_every_module_imports_modules_that_are_there(path: str) -> None:
    for name in _IMPORT.findall(_COMMENT.sub("", SCRIPTS[path])):
        assert module(path, name) in SHELF.assets, name


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_what_is_imported_is_exported_there_and_used_here(path: str) -> None:
    text = _COMMENT.sub("", SCRIPTS[path])
    body = _NAMES.sub("", text)
    for names, source in _NAMES.findall(text):
        exported = SCRIPTS[module(path, source)]
        for name in filter(None, (each.strip() for each in names.split(","))):
            assert re.search(rf"\b{name}\b", body), f"{name} is not used"
            way = rf"export (async )?(function|const|class) {name}\b|export {{[^}}]*\b{name}\b"
            assert re.search(way, exported), f"{source} has no {name}"


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_nothing_is_asked_of_anybody_else(path: str) -> None:
    text = TEXTS[path].replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}/|@import|url\((?!data:)", text) == []


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_no_script_makes_code_or_markup_of_text(path: str) -> None:
    """What the policy forbids is not even tried, and text of the API is never parsed as markup."""
    found = re.findall(
        r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write|"
        r'setAttribute\("style"|srcdoc|javascript:',
        _COMMENT.sub("", SCRIPTS[path]),
    )
    assert found == []


def test_the_page_has_no_script_and_no_style_of_its_own() -> None:
    page = SHELF.index.body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son[a-z]+=", page) == []


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_files_are_short_enough_to_read(path: str) -> None:
    lines = TEXTS[path].splitlines()
    assert len(lines) <= (1000 if path.endswith(".css") else 400)
    if path.endswith((".js", ".css")) and not path.endswith("icons.js"):
        assert max(len(line) for line in lines) <= 120


def test_the_name_of_all_files_changes_when_one_of_them_does() -> None:
    assert load().version == SHELF.version
    assert re.fullmatch(r"[0-9a-f]{16}", SHELF.version)


def test_files_are_sent_compressed_and_stay_small() -> None:
    for asset in SHELF.assets.values():
        assert gzip.decompress(asset.packed) == asset.body
    assert sum(len(asset.packed) for asset in SHELF.assets.values()) < 150_000


def test_the_files_are_part_of_what_is_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["gateway"]
    assert "admin/dashboard/static/**/*" in patterns
