"""Places, hints and the collection of problems."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.problems import (
    ConfigErrors,
    Finding,
    Place,
    Problem,
    Report,
    did_you_mean,
    one_of,
    quoted,
    written,
)


def _problem(line: int = 3, hint: str = "") -> Problem:
    return Problem(file="a.yaml", line=line, column=5, path="x.y", message="is bad", hint=hint)


def test_problem_is_printed_with_file_line_column_path_message_and_hint() -> None:
    assert str(_problem(hint="did you mean 'z'?")) == "a.yaml:3:5: x.y: is bad (did you mean 'z'?)"


def test_problem_of_a_whole_file_names_only_the_file() -> None:
    problem = Problem(file="a.yaml", line=0, column=0, path="", message="cannot be read")
    assert str(problem) == "a.yaml: cannot be read"


def test_errors_print_one_problem_per_line() -> None:
    errors = ConfigErrors([_problem(), _problem(4)])
    assert str(errors) == "a.yaml:3:5: x.y: is bad\na.yaml:4:5: x.y: is bad"
    assert len(errors.problems) == 2


def test_path_is_written_as_a_person_writes_it() -> None:
    assert written(("routes", 3, "match", "path")) == "routes[3].match.path"
    assert written(("upstreams", "a b")) == "upstreams.'a b'"
    assert written(()) == ""


@given(st.text())
def test_quoted_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = quoted(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 82 * 10


def test_close_name_is_suggested_whatever_its_case() -> None:
    assert did_you_mean("Jbos", ["jobs", "users"]) == "did you mean 'jobs'?"
    assert did_you_mean("zzz", ["jobs"]) == ""
    assert did_you_mean("zzz", []) == ""


def test_possible_names_are_listed_up_to_a_limit() -> None:
    assert one_of(["b", "a"]) == "known here: a, b"
    assert one_of(map(str, range(15)), limit=2) == "known here: 0, 1 and 13 more"
    assert one_of([]) == ""


def test_problems_come_in_the_order_of_files_lines_and_columns() -> None:
    report = Report()
    for place in (Place("b", 2, 1), Place("a", 9, 1), Place("b", 1, 7), Place("b", 1, 2)):
        report.add(place, (), "x")
    assert [(p.file, p.line, p.column) for p in report.in_order()] == [
        ("b", 1, 2),
        ("b", 1, 7),
        ("b", 2, 1),
        ("a", 9, 1),
    ]


def test_mistake_in_a_shared_anchor_is_told_once() -> None:
    report = Report()
    report.add(Place("a", 1, 1), ("x", "k"), "is bad")
    report.add(Place("a", 1, 1), ("y", "k"), "is bad")
    report.add(Place("a", 1, 1), ("y", "other"), "is bad")
    assert [p.path for p in report.in_order()] == ["x.k", "y.other"]


def test_finding_that_follows_from_a_broken_part_is_known() -> None:
    report = Report()
    report.broken = [("routes", 1, "match", "path"), ("plans",)]
    assert report.is_known(Finding(("routes", 1, "match"), ""))
    assert report.is_known(Finding(("routes", 1, "match", "path"), ""))
    assert report.is_known(Finding(("routes", 0, "plan"), "", about=("plans",)))
    assert report.is_known(Finding(("x",), "", related=(("routes",),)))
    assert not report.is_known(Finding(("routes", 0, "match"), "", about=("routes",)))
    assert not report.is_known(Finding(("routes", 1, "scopes"), ""))


@given(st.text(min_size=16, max_size=200))
def test_value_from_outside_is_shown_by_no_problem(secret: str) -> None:
    report = Report()
    report.outside = {secret}
    report.add(Place("a", 1, 1), (), f"is {quoted(secret)} now", did_you_mean(secret, [secret]))
    (problem,) = report.in_order()
    assert ascii(secret)[1:17] not in str(problem)
    assert problem.message[3:-4].strip("'\"") == "${...}"
