"""`tollhouse docs`: the pages in `docs/reference`, generated from the code that they describe.

Knows which page comes from which room, and how a command line becomes a page. It must not describe
anything itself: a wrong sentence in a page is corrected where the thing is declared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.admin.problem_kinds import render_problems_reference
from gateway.config.reference import render_reference
from gateway.domain.reference import render_reasons_reference
from gateway.telemetry.reference import render_metrics_reference

FOLDER: Final = Path("docs/reference")

_CLI_HEAD: Final = """\
# Command line

Generated from the code; `tollhouse <verb> --help` says the same. `python -m gateway` is the same
program. Data goes to standard output, messages to standard error.
"""


_METRICS_HEAD: Final = """\
# Metrics

Generated from the code. `GET /metrics` on the metrics listener answers in the Prometheus text
format. Every label has a bounded set of values; `__unmatched__` is the route of requests that
matched none, `__other__` stands for what the series budget had no room for. Several workers are
exported as one gateway: numbers are sums unless the meaning says otherwise, and those of a worker
that ended stay, but for gauges. `process_*` are sums over all processes, so memory that they share
counts once for each.

"""


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "docs",
        help="write the reference pages of the repository",
        description="Write the pages of docs/reference that differ from the code, and name them.",
    )
    parser.add_argument("--check", action="store_true", help="only name them; exit 1 if there are")
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR", help="folder of the repository"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from gateway.cli.main import build_parser  # that module imports this one

    root: Path = options.root
    if options.check:
        outdated = stale(root, build_parser())
        for path in outdated:
            print(f"{path}: not up to date, run `make docs`", file=sys.stderr)
        return 1 if outdated else 0
    for path in generate(root, build_parser()):
        print(f"wrote {path}", file=sys.stderr)
    return 0


def pages(parser: argparse.ArgumentParser) -> Mapping[str, str]:
    """Return the reference pages by file name."""
    texts = {
        "config.md": render_reference(),
        "reasons.md": render_reasons_reference(),
        "admin-problems.md": render_problems_reference(),
        "metrics.md": _METRICS_HEAD + render_metrics_reference(),
        "cli.md": render_cli_reference(parser),
    }
    return {name: text.rstrip("\n") + "\n" for name, text in texts.items()}


def generate(root: Path, parser: argparse.ArgumentParser) -> list[Path]:
    """Write the pages that are missing or out of date below `root` and return their paths."""
    outdated = stale(root, parser)
    wanted = pages(parser)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for path in outdated:
        path.write_text(wanted[path.name], "utf-8")
    return outdated


def stale(root: Path, parser: argparse.ArgumentParser) -> list[Path]:
    """Return the paths of the pages that differ from what would be generated."""
    found = {root / FOLDER / name: text for name, text in pages(parser).items()}
    return [
        path
        for path, text in found.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def render_cli_reference(parser: argparse.ArgumentParser) -> str:
    """Return the Markdown page of a command line: a section per verb, with all of its options.

    Laid out here and not by `argparse`, whose help depends on the width of the terminal and on the
    version of Python.
    """
    return "\n".join([_CLI_HEAD, *_sections(parser, "")])


def _sections(parser: argparse.ArgumentParser, summary: str) -> Iterator[str]:
    verbs = _verbs(parser)
    if not verbs or parser.description:
        yield f"## `{parser.prog}`\n"
        yield f"{_sentence(parser.description or summary)}\n"
        yield f"```text\n{_usage(parser, verbs)}\n```\n"
    rows = [_row(action) for action in _arguments(parser)]
    if rows:
        yield "| Argument | Meaning | Default |\n|---|---|---|"
        yield "\n".join(rows) + "\n"
    for verb, text in verbs.values():
        yield from _sections(verb, text)


def _verbs(
    parser: argparse.ArgumentParser,
) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the verbs directly under `parser` with their one-line help, in order of declaration."""
    verbs: dict[str, tuple[argparse.ArgumentParser, str]] = {}
    for action in parser._actions:  # noqa: SLF001 - no public way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            texts = {
                choice.dest: choice.help or ""
                for choice in action._choices_actions  # noqa: SLF001
            }
            for verb in dict.fromkeys(action.choices.values()):  # once, whatever its aliases
                name = next(name for name, each in action.choices.items() if each is verb)
                if texts.get(name) != argparse.SUPPRESS:
                    verbs[name] = (verb, texts.get(name, ""))
    return verbs


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        action
        for action in parser._actions  # noqa: SLF001
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)  # noqa: SLF001
        and action.help != argparse.SUPPRESS
    ]


def _usage(parser: argparse.ArgumentParser, verbs: Mapping[str, object]) -> str:
    words = [parser.prog]
    actions = _arguments(parser)
    words += [
        f"{max(action.option_strings, key=len)}{_value(action)}"
        for action in actions
        if action.option_strings and action.required
    ]
    if any(action.option_strings and not action.required for action in actions):
        words.append("[options]")
    words += [_positional(action) for action in actions if not action.option_strings]
    if verbs:
        words.append(f"{{{','.join(verbs)}}}")
    return " ".join(words)


def _row(action: argparse.Action) -> str:
    names = action.option_strings or [_positional(action)]
    shown = ", ".join(f"`{name}{_value(action)}`" for name in names)
    meaning = _sentence(action.help or "")
    if action.choices is not None and action.metavar is not None:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in action.choices)}."
    if isinstance(action, argparse._AppendAction):  # noqa: SLF001
        meaning += " May be given more than once."
    return f"| {_cell(shown)} | {_cell(meaning)} | {_cell(_default(action))} |"


def _value(action: argparse.Action) -> str:
    """Return what follows an option: a space and the name of its value, or nothing for a flag."""
    if not action.option_strings or action.nargs == 0:
        return ""
    name = action.metavar
    if name is None and action.choices is not None:
        name = f"{{{','.join(map(str, action.choices))}}}"
    if isinstance(name, tuple):
        return " " + " ".join(name)
    name = name or action.dest.upper()
    return f" {name} ..." if action.nargs in {"+", "*"} else f" {name}"


def _positional(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    optional = action.nargs in {"?", "*"}
    repeated = " ..." if action.nargs in {"+", "*"} else ""
    return f"[{name}{repeated}]" if optional else f"{name}{repeated}"


def _default(action: argparse.Action) -> str:
    if action.required and action.option_strings:
        return "required"
    if action.nargs == 0 or action.default in (None, argparse.SUPPRESS, "", [], ()):
        return ""
    return f"`{action.default}`"


def _sentence(text: str) -> str:
    """Return `text` on one line, with a capital and a full stop, as a page wants it."""
    line = " ".join(text.replace("%%", "%").split())
    if not line:
        return ""
    return line[0].upper() + line[1:] + ("" if line.endswith((".", "!", "?", ":")) else ".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
