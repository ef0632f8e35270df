from __future__ import annotations

import io

import pytest

from gateway.cli.output import Printer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_people_get_tables_and_programs_json() -> None:
    assert Printer(None, Terminal(), io.StringIO()).form == "table"
    assert Printer(None, io.StringIO(), io.StringIO()).form == "json"
    assert Printer("yaml", Terminal(), io.StringIO()).form == "yaml"


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_data_goes_to_stdout_and_messages_to_stderr(form: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    printer = Printer(form, out, err)
    printer.entry({"name": "x"})
    printer.entries([{"name": "x"}], ("name",))
    printer.message("done")
    assert "x" in out.getvalue()
    assert err.getvalue() == "done\n"


def test_no_value_can_move_the_cursor_or_break_a_line() -> None:
    out = io.StringIO()
    printer = Printer("table", out, io.StringIO())
    printer.entries([{"a": "x\x1b[2Jy\n", "b": ["\r", True], "c": {"k": "\x1b"}}], ("a", "b", "c"))
    assert out.getvalue().splitlines()[1].isprintable()


def test_what_comes_bit_by_bit_is_one_table_that_may_grow_wider() -> None:
    out = io.StringIO()
    flow = Printer("table", out, io.StringIO()).flow(("a", "b"))
    for rows in ([{"a": "x", "b": 1}], [], [{"a": "long", "b": 2}, {"a": "y", "b": 3}]):
        flow.add(rows)
    assert out.getvalue() == "A  B\nx  1\nlong  2\ny     3\n"


def test_what_comes_bit_by_bit_is_an_object_a_line_or_a_document_each() -> None:
    for form, expected in (
        ("json", '{"a": 1}\n{"a": 2}\n'),
        ("yaml", "---\na: 1\n---\na: 2\n"),
    ):
        out = io.StringIO()
        flow = Printer(form, out, io.StringIO()).flow(("a",))
        flow.add([{"a": 1}])
        flow.add([])
        flow.add([{"a": 2}])
        assert out.getvalue() == expected


def test_an_empty_list_is_a_table_with_a_header_only() -> None:
    out = io.StringIO()
    Printer("table", out, io.StringIO()).entries([], ("key_id", "name"))
    assert out.getvalue() == "KEY_ID  NAME\n"


def test_a_table_leaves_empty_fields_out_but_not_false_or_zero() -> None:
    out = io.StringIO()
    printer = Printer("table", out, io.StringIO())
    printer.entry({"a": None, "b": "", "c": [], "d": {}, "e": False, "f": 0})
    assert out.getvalue() == "e  no\nf  0\n"
