"""The documentation says what the code does, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway.cli.docs import FOLDER, stale
from gateway.cli.main import build_parser
from gateway.config.fields import keys
from gateway.config.load import check

pytestmark = pytest.mark.pure  # reads what the repository says, not what is installed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
WRITTEN = [page for page in PAGES if FOLDER not in page.relative_to(ROOT).parents]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_OF_THIS_MACHINE = re.compile(r"/work/|/root/|/home/|/Users/|\.\./shared")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def without_code(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return what `#...` may lead to, as GitHub makes it from headings."""
    found = set()
    for heading in _HEADING.findall(without_code(page)):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).strip()
        found.add(plain.replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(without_code(page)):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def yaml_blocks() -> Iterator[tuple[str, str]]:
    for page in WRITTEN:
        for n, (_, language, text) in enumerate(_FENCE.findall(page.read_text("utf-8"))):
            if language == "yaml":
                yield f"{name(page)}-{n}", text


def test_reference_is_what_the_code_generates() -> None:
    outdated = [name(page) for page in stale(ROOT, build_parser())]
    assert not outdated, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        is_alive = goal.exists() and (not anchor or goal.suffix != ".md" or anchor in anchors(goal))
        if not is_alive:
            dead.append(target)
    assert not dead


def test_every_page_is_reached_from_the_index() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md", DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert [name(page) for page in DOCS.rglob("*.md") if page not in reached] == []


def test_what_needs_a_restart_is_told_and_nothing_else() -> None:
    text = (DOCS / "how-to/reload-the-configuration.md").read_text("utf-8")
    told = re.search(r"## What needs a restart\n(.*?)\n## ", text, re.DOTALL)
    assert told is not None
    rows = [line.split("|")[1] for line in told[1].splitlines() if line.startswith("| `")]
    named = {path for row in rows for path in re.findall(r"`([^`]+)`", row)}
    assert named == {key.path for key in keys() if key.applies == "restart"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_mentions_the_machine_it_was_written_on(page: Path) -> None:
    assert not _OF_THIS_MACHINE.findall(page.read_text("utf-8"))


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_prose_fits_120_columns(page: Path) -> None:
    lines = without_code(page).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize(("where", "text"), list(yaml_blocks()), ids=lambda value: str(value)[:40])
def test_yaml_examples_can_be_read(where: str, text: str) -> None:
    assert YAML(typ="safe").load(StringIO(text)) is not None, where


@pytest.mark.parametrize(
    ("where", "text"),
    [block for block in yaml_blocks() if block[1].startswith("version:")],
    ids=lambda value: str(value)[:40],
)
def test_whole_configurations_in_the_docs_are_accepted(
    where: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "pepper").write_text("p" * 64)
    (tmp_path / "config.yaml").write_text(text)
    _, problems = check(tmp_path / "config.yaml", {})
    assert not problems, where


def test_each_test_that_the_threat_model_names_exists() -> None:
    """What is claimed to be proved is proved by a test of that very name."""
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "threat-model.md").read_text("utf-8")))
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 50
    assert named - set(re.findall(r"^(?:async )?def (test_\w+)\(", sources, re.MULTILINE)) == set()
