from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gateway.config.formatting import CannotFormat, formatted

ROOT = Path(__file__).parents[2]

# Templates of a Helm chart are YAML only once they are filled in.
SHIPPED = [
    path for path in sorted((ROOT / "deploy").rglob("*.yaml")) if "templates" not in path.parts
]


def load(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


def test_indentation_blank_lines_and_spaces_become_one() -> None:
    text = "a:\n      b:   1   \n\n\n\n      c: [ 1,2,   3 ]\nroutes:\n- name: x\n  match: {path:   /x}\n"
    assert formatted(text) == (
        "a:\n  b: 1\n\n  c: [1, 2, 3]\nroutes:\n  - name: x\n    match: {path: /x}\n"
    )


def test_comments_quotes_anchors_and_the_order_of_keys_stay() -> None:
    text = (
        "# yaml-language-server: $schema=./x.json\n"
        "version: 1 # the shape\n"
        "# before plans\n"
        "plans: &plans\n"
        "  b: {rate: {per_minute: 1}}   # slow\n"
        "  a: 'quoted'\n"
        '  c: "${file:secret}"\n'
        "again: *plans\n"
        "merged: {<<: *plans, d: 1}\n"
        "# at the end\n"
    )
    result = formatted(text)
    for kept in ("# yaml-language", "# the shape", "# before plans", "# slow", "# at the end"):
        assert result.count(kept) == 1
    assert "a: 'quoted'" in result
    assert '"${file:secret}"' in result
    assert "&plans" in result
    assert result.count("*plans") == 2
    assert result.index("  b:") < result.index("  a:")
    assert load(result) == load(text)


def test_blank_lines_within_a_text_are_part_of_it() -> None:
    text = "a: |\n  one\n\n\n\n  two\nb: 1\n"
    assert load(formatted(text)) == {"a": "one\n\n\n\ntwo\n", "b": 1}


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", "\n# only this\n\n\n# and that"])
def test_a_file_without_keys_keeps_its_comments(text: str) -> None:
    result = formatted(text)
    assert result.split() == text.split()
    assert formatted(result) == result


def test_a_mark_of_byte_order_and_carriage_returns_leave() -> None:
    assert formatted("\ufeffa: 1\r\nb: 2\r\n") == "a: 1\nb: 2\n"


def test_the_start_of_a_document_stays() -> None:
    assert formatted("---\na: 1\n") == "---\na: 1\n"
    assert formatted("# c\n---\na: 1\n").count("# c") == 1


def test_a_comment_that_would_get_lost_is_a_reason_to_leave_the_file_alone() -> None:
    with pytest.raises(CannotFormat, match="comment"):
        formatted("a: [1, # one\n    2, # two\n    {x: 1, # three\n    y: 2}]\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1\n", "line 2"),
        ("a: 1\na: 2\n", "line 2"),
        ("a: \x01\n", "not YAML"),
        ("[" * 1200, ""),
        ("a: !secret hunter2\n", ""),
    ],
)
def test_what_is_no_configuration_is_refused_without_showing_it(text: str, why: str) -> None:
    with pytest.raises(CannotFormat) as caught:
        formatted(text)
    assert why in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *SHIPPED], ids=lambda path: path.name)
def test_the_shipped_files_can_be_formatted_and_mean_the_same(path: Path) -> None:
    text = path.read_text("utf-8")
    result = formatted(text)
    assert load(result) == load(text)
    assert formatted(result) == result


_SCALARS = st.one_of(
    st.integers(), st.booleans(), st.none(), st.text("ab #:'\"\n{}[]-", max_size=12)
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _TREES, max_size=4))
@settings(max_examples=60)
def test_formatting_twice_changes_no_more_and_never_the_meaning(tree: dict[str, object]) -> None:
    import io

    out = io.StringIO()
    YAML(typ="safe", pure=True).dump(tree, out)
    try:
        result = formatted(out.getvalue())
    except CannotFormat:
        return
    assert load(result) == tree
    assert formatted(result) == result
