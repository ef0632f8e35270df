"""Configurations of several files."""

from __future__ import annotations

from pathlib import Path

from gateway.config.include import FILE_BYTES_MAX
from gateway.config.load import load
from tests.config.sample import HEAD, NOTHING, loaded, problems, said, write


def test_mappings_are_merged_and_lists_joined(tmp_path: Path) -> None:
    write(
        tmp_path,
        "plans: {b: {}}\nscopes: {atoms: [y], bundles: {two: [y]}}\nclient_address: {header: none}\n",
        "conf.d/b.yaml",
    )
    write(tmp_path, "plans: {c: {}}\nscopes: {atoms: [z]}\n", "conf.d/c.yaml")
    config = loaded(
        tmp_path,
        "include: [conf.d/*.yaml]\nplans: {a: {}}\nscopes: {atoms: [x], bundles: {one: [x]}}\n"
        "client_address: {ipv6_prefix: 56}\n",
    )
    assert list(config.plans) == ["a", "b", "c"]
    assert config.scopes.atoms == ("x", "y", "z")
    assert list(config.scopes.bundles) == ["one", "two"]
    assert (config.client_address.header, config.client_address.ipv6_prefix) == ("none", 56)


def test_name_in_two_files_is_a_duplicate_that_names_both_places(tmp_path: Path) -> None:
    other = write(tmp_path, "plans:\n  a: {concurrency: 5}\n", "more.yaml")
    (found,) = problems(tmp_path, "include: [more.yaml]\nplans:\n  a: {concurrency: 9}\n")
    assert (found.file, found.line, found.column) == (str(other), 2, 3)
    assert found.path == "plans.a"
    assert found.message == "duplicate key"
    assert found.hint == f"first given at {tmp_path / 'config.yaml'}:5:3"


def test_mistake_in_an_included_file_is_told_at_its_place_there(tmp_path: Path) -> None:
    other = write(tmp_path, "routes:\n  - name: b\n    match: {path: x}\n", "more.yaml")
    found = problems(
        tmp_path,
        "include: [more.yaml]\nroutes: [{name: a, match: {path: /a}, handler: introspect}]\n",
    )
    assert {problem.file for problem in found} == {str(other)}
    assert [(p.line, p.path) for p in found] == [
        (2, "routes[1].upstream"),
        (3, "routes[1].match.path"),
    ]


def test_missing_file_is_an_error_and_a_pattern_without_files_is_not(tmp_path: Path) -> None:
    assert said(tmp_path, "include: [gone.yaml, conf.d/*.yaml]\n") == [
        "include[0]: the file 'gone.yaml' does not exist"
    ]


def test_file_is_included_once_and_never_the_main_file(tmp_path: Path) -> None:
    write(tmp_path, "plans: {b: {}}\n", "b.yaml")
    assert list(loaded(tmp_path, "include: ['*.yaml', b.yaml]\n").plans) == ["b"]


def test_only_the_main_file_includes(tmp_path: Path) -> None:
    write(tmp_path, "include: [c.yaml]\n", "b.yaml")
    assert said(tmp_path, "include: [b.yaml]\n") == [
        "include: only the main file may include others"
    ]


def test_version_may_be_repeated_but_not_changed(tmp_path: Path) -> None:
    write(tmp_path, "version: 1\n", "b.yaml")
    assert loaded(tmp_path, "include: [b.yaml]\n").version == 1
    write(tmp_path, "version: 2\n", "b.yaml")
    assert "version: duplicate key" in said(tmp_path, "include: [b.yaml]\n")[0]


def test_included_file_must_be_a_mapping(tmp_path: Path) -> None:
    write(tmp_path, "- a\n", "b.yaml")
    assert said(tmp_path, "include: [b.yaml]\n") == ["an included file must be a mapping"]


def test_broken_include_does_not_make_names_undeclared(tmp_path: Path) -> None:
    write(tmp_path, "upstreams: {u: [\n", "b.yaml")
    text = "include: [b.yaml]\nroutes: [{name: a, match: {path: /a}, upstream: u}]\n"
    (found,) = said(tmp_path, text)
    assert "is not YAML" in found


def test_include_that_is_no_list_of_text_is_told_by_the_model(tmp_path: Path) -> None:
    assert said(tmp_path, "include: [5]\n") == [
        "include[0]: must be text (put the value in quotes)"
    ]
    assert said(tmp_path, "include: x\n") == ["include: must be a list"]


def test_unreadable_files_are_told_without_a_line(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").mkdir()
    (tmp_path / "c.yaml").write_bytes(b"a: \xff")
    assert said(tmp_path, "include: [b.yaml, c.yaml]\n") == [
        "cannot be read: Is a directory",
        "is not UTF-8 text (byte 3)",
    ]


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert load(write(tmp_path, "\ufeff" + HEAD), NOTHING).version == 1


def test_file_larger_than_any_configuration_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "b.yaml").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    assert said(tmp_path, "include: [b.yaml]\n") == ["is larger than 32 MiB"]
