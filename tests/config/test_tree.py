"""YAML as a tree with places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gateway.config.interpolate import Interpolator
from gateway.config.problems import Problem, Report
from gateway.config.tree import NODES_MAX, Node, _yaml, read_tree


def read(text: str, nodes_max: int = NODES_MAX) -> tuple[Node | None, list[Problem]]:
    report = Report()
    root = read_tree(text, "f", Interpolator({"N": "5"}, Path()), report, nodes_max=nodes_max)
    return root, report.in_order()


def value(text: str) -> object:
    root, found = read(text)
    assert root is not None
    assert found == []
    return root.plain()


def complaints(text: str) -> list[str]:
    return [str(problem) for problem in read(text)[1]]


def test_scalars_have_the_types_of_yaml_1_2() -> None:
    text = (
        "{a: 1, b: 0x1f, c: 0o17, d: 1_000, e: -2, f: 1.5, g: .inf, h: true, i: False, j: ~, "
        "k: no, l: '5', m: 012, n: }"
    )
    assert value(text) == {
        "a": 1, "b": 31, "c": 15, "d": 1000, "e": -2, "f": 1.5, "g": float("inf"), "h": True,
        "i": False, "j": None, "k": "no", "l": "5", "m": 12, "n": None,
    }  # fmt: skip


def test_dates_stay_text() -> None:
    assert value("a: 2027-01-31T00:00:00Z") == {"a": "2027-01-31T00:00:00Z"}


def test_empty_file_is_an_empty_mapping() -> None:
    assert value("") == {}
    assert value("# only a comment\n") == {}


def test_every_value_knows_its_place_and_that_of_its_key() -> None:
    root, _ = read("a:\n  - b: 1\n    c: two\n")
    assert root is not None
    (a,) = root.children()
    (item,) = a.children()
    _, c = item.children()
    assert (a.key_place.line, a.key_place.column) == (1, 1)
    assert (item.place.line, item.place.column) == (2, 5)
    assert (c.key_place.line, c.key_place.column) == (3, 5)
    assert (c.place.line, c.place.column) == (3, 8)


def test_key_without_a_value_stands_where_its_key_stands() -> None:
    root, _ = read("a:\n\nb: 1\n")
    assert root is not None
    assert root.children()[0].place.line == 1


def test_duplicate_key_names_both_places() -> None:
    assert complaints("a: 1\nb:\n  c: 1\n  c: 2\n") == [
        "f:4:3: b.c: duplicate key (first given at f:3:3)"
    ]


def test_anchors_and_merge_keys_are_followed_and_own_keys_win() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 0}\nw: *x\n"
    assert value(text) == {
        "x": {"a": 1, "b": 1},
        "y": {"b": 2, "c": 2},
        "z": {"a": 0, "b": 1, "c": 2},
        "w": {"a": 1, "b": 1},
    }


def test_merge_of_something_else_is_refused() -> None:
    assert "`<<` takes a mapping" in complaints("a: {<<: 5}")[0]


def test_alias_to_itself_is_refused() -> None:
    assert "contains itself" in complaints("a: &a {b: *a}")[0]


def test_aliases_that_explode_are_refused() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 4)}]" for n in range(1, 8)
    ]
    root, found = read("\n".join(lines), nodes_max=1000)
    assert root is None
    assert "more than 1000 values" in found[0].message


def test_deep_nesting_is_refused() -> None:
    root, found = read("[" * 5000)
    assert root is None
    assert "nested too deep" in found[0].message


def test_syntax_error_has_a_place_and_shows_nothing_of_the_file() -> None:
    (found,) = complaints("a: 1\npepper: [hunter2hunter2\nb: 1\n")
    assert found.startswith("f:3:")
    assert "is not YAML" in found
    assert "hunter2" not in found


def test_character_that_yaml_forbids_has_a_place() -> None:
    (found,) = complaints("a: 1\nb: \x01\n")
    assert found == "f:2:4: is not YAML: a character that is not allowed"


def test_second_document_is_refused() -> None:
    assert "is not YAML" in complaints("a: 1\n---\nb: 1\n")[0]


def test_tags_and_complex_keys_are_refused() -> None:
    assert "tag '!secret' is not supported" in complaints("a: !secret x")[0]
    assert "tag 'binary' is not supported" in complaints("a: !!binary eA==")[0]
    assert "a key must be text" in complaints("? [a]\n: 1")[0]


def test_value_that_cannot_be_resolved_is_broken_and_the_rest_is_read() -> None:
    root, found = read("a: ${MISSING}\nb: ['${N}', 1]\n")
    assert root is not None
    assert [problem.path for problem in found] == ["a"]
    assert list(root.broken()) == [("a",)]
    assert root.children()[1].plain() == ["5", 1]


@given(st.text(max_size=60) | st.text(alphabet="ab:{}[]&*<-,!?|'\"# \n0x.", max_size=60))
def test_any_text_is_a_tree_or_a_problem(text: str) -> None:
    root, found = read(text)
    assert root is not None or found


PIECES = (
    "a: 1\nb:\n  c: 2\n  - d\n- e\nf: |\n  # kept\ng: >-\n  text\nh: 'x\n  y'\n# told\n  # told\ni: j # told\n"
    "k: l#m\nn: [o,\n  p] # told\nq: {r: s, # told\n  t: u}\n\n   \n\t\n---\n...\n%YAML 1.2\n&v w: *v\n? x\n: y\n"
    "z: # told\n\ufeff# told"
).splitlines()
ENDS = ("\n", "\n", "\r\n", "\r", "\x85", "\u2028")


@given(st.lists(st.sampled_from(PIECES)), st.sampled_from(ENDS))
def test_stepping_over_comments_changes_no_event_and_no_place(lines: list[str], end: str) -> None:
    text = end.join(lines)
    assert list(events(_yaml(), text)) == list(events(YAML(typ="safe", pure=True), text))


def events(yaml: YAML, text: str) -> Iterator[str]:
    """Yield what `yaml` reads in `text`, with where it stands, up to its first complaint."""
    try:
        for event in yaml.parse(text):
            yield f"{event} {event.start_mark} {event.end_mark}"
    except YAMLError as error:
        yield str(error)
