"""`tollhouse check` and `tollhouse schema`."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from gateway.cli.check import check, register, schema
from tests.certificates import authority, issue

GOOD = "version: 1\npeppers: {current: p1, p1: '${PEPPER}'}\n"
ENVIRON = {"PEPPER": "0123456789abcdef0123456789abcdef"}


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return path


def test_good_config_is_ok(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    path = write(tmp_path, GOOD)
    assert check(path, ENVIRON, out=out, err=err) == 0
    assert out.getvalue() == ""
    assert err.getvalue() == f"{path}: ok\n"


def test_every_problem_is_printed_with_its_place(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    path = write(tmp_path, GOOD + "store: {pth: x}\nplans: {p: {concurrency: 0}}\n")
    assert check(path, ENVIRON, out=out, err=err) == 1
    assert out.getvalue().splitlines() == [
        f"{path}:3:9: store.pth: unknown key (did you mean 'path'?)",
        f"{path}:4:26: plans.p.concurrency: must be at least 1",
    ]
    assert err.getvalue() == f"{path}: 2 problems, so nothing would start\n"


def test_problems_can_be_read_by_programs(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    path = write(tmp_path, GOOD)
    assert check(path, {}, out=out, err=err, output="json") == 1
    (problem,) = json.loads(out.getvalue())["problems"]
    assert problem == {
        "file": str(path),
        "line": 2,
        "column": 28,
        "path": "peppers.p1",
        "message": "the environment variable PEPPER is not set; set it, or write ${PEPPER:-default}",
        "hint": "",
        "is_warning": False,
    }
    assert "1 problem," in err.getvalue()


def test_warnings_are_printed_and_counted_and_do_not_stop_the_start(tmp_path: Path) -> None:
    issue(tmp_path, authority(), "gateway.test", valid_days=-1)
    tls = "{certificate: server.pem, key: server.key}"
    upstreams = f"upstreams: {{u: {{targets: ['https://a'], tls: {tls}}}}}\n"
    out, err = io.StringIO(), io.StringIO()
    path = write(tmp_path, GOOD + upstreams)
    assert check(path, ENVIRON, out=out, err=err) == 0
    assert out.getvalue().startswith(f"{path}:3:60: warning: upstreams.u.tls.certificate: ")
    assert err.getvalue() == f"{path}: ok, with 1 warning\n"
    path = write(tmp_path, GOOD + upstreams + "telemetry: {series_budget: 0}\n")
    assert check(path, ENVIRON, out=out, err=err) == 1
    assert "1 problem, so nothing would start" in err.getvalue()


def test_certificates_are_part_of_what_is_checked(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    tls = "tls: {certificates: [{certificate: a.pem, key: a.key}]}"
    text = f"listeners: {{metrics: {{{tls}}}}}\n"
    (tmp_path / "a.pem").write_text("junk")
    (tmp_path / "a.key").write_text("junk")
    path = write(tmp_path, GOOD + text)
    assert check(path, ENVIRON, out=out, err=err) == 1
    assert out.getvalue() == (
        f"{path}:3:58: listeners.metrics.tls.certificates[0].certificate: "
        f"'{tmp_path}/a.pem' holds no certificate in PEM form\n"
    )


def test_schema_is_printed_as_json() -> None:
    out = io.StringIO()
    assert schema(out=out) == 0
    assert json.loads(out.getvalue())["$schema"].endswith("2020-12/schema")


def test_verbs_are_registered_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    options = parser.parse_args(["check", "--config", str(tmp_path / "gone.yaml")])
    assert options.run(options) == 1
    assert "cannot be read" in capsys.readouterr().out
    options = parser.parse_args(["schema"])
    assert options.run(options) == 0
    assert json.loads(capsys.readouterr().out)["$id"]
