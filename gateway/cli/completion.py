"""`tollhouse completion`: a script with which a shell completes verbs, options and their values.

Knows how the tree of parsers becomes a table, and the three shells. The script is static: to complete a word no Python
is started. It must not know any verb.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An option, or a positional argument (without `names`), and what may follow: fixed words, or a file."""

    names: tuple[str, ...]
    words: tuple[str, ...]
    takes_value: bool
    is_file: bool
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What may be written at one place of the tree; `path` are the verbs that lead there."""

    path: str
    verbs: Mapping[str, str]
    options: tuple[Choice, ...]
    arguments: tuple[Choice, ...]


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "completion",
        help="print what makes a shell complete commands",
        description="Print a script that makes a shell complete commands. For bash: `source <(tollhouse completion"
        " bash)`; for zsh: write it to a file `_tollhouse` in a folder of $fpath; for fish: write it to"
        " ~/.config/fish/completions/tollhouse.fish.",
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from gateway.cli.main import build_parser  # that module imports this one

    print(script(options.shell, build_parser()), end="")
    return 0


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the script for `shell`."""
    writers: dict[str, Callable[[Sequence[Place]], str]] = {
        "bash": _bash,
        "zsh": _zsh,
        "fish": _fish,
    }
    return writers[shell](list(_places(parser, "")))


def _places(parser: argparse.ArgumentParser, path: str) -> Iterator[Place]:
    verbs: dict[str, str] = {}
    inner: dict[str, argparse.ArgumentParser] = {}
    options: list[Choice] = []
    arguments: list[Choice] = []
    for action in parser._actions:  # noqa: SLF001 - no public way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            inner |= action.choices
            helps = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001
            verbs |= {name: helps.get(name, "") for name in action.choices}
        elif action.help != argparse.SUPPRESS:
            choice = Choice(
                names=tuple(action.option_strings),
                words=tuple(map(str, action.choices or ())),
                takes_value=action.nargs != 0,
                is_file=action.type is Path or action.metavar in ("PATH", "FILE"),
                help=_help(action),
            )
            (options if choice.names else arguments).append(choice)
    yield Place(path=path, verbs=verbs, options=tuple(options), arguments=tuple(arguments))
    for name, each in inner.items():
        yield from _places(each, f"{path} {name}".strip())


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    return " ".join(text.split())


def _steps(places: Sequence[Place]) -> list[str]:
    """Return each step down the tree: where from and the verb, as the scripts compare it."""
    return [f"{place.path} {verb}" for place in places for verb in place.verbs]


# ---- bash, and zsh through it

_BASH: Final = """\
# Completion of tollhouse for {shell}, made by `tollhouse completion {shell}`.
_tollhouse() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {steps}) path="${{path:+$path }}${{COMP_WORDS[i]}}" ;;
    esac
  done
  COMPREPLY=()
  case "$path $prev" in
{values}
  esac
  case "$path" in
{places}
  esac
}}
"""


def _bash(places: Sequence[Place], shell: str = "bash") -> str:
    values, offers = [], []
    for place in places:
        for choice in place.options:
            if choice.takes_value:
                patterns = "|".join(_quoted(f"{place.path} {name}") for name in choice.names)
                values.append(f"    {patterns}) {_reply(choice)}return ;;")
        words = [name for choice in place.options for name in choice.names]
        line = f'[[ $cur == -* ]] && COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$cur"))'
        rest = "".join(_reply(each) for each in place.arguments)
        if place.verbs:
            rest = f'COMPREPLY=($(compgen -W "{" ".join(place.verbs)}" -- "$cur")); '
        if rest:
            line += f" || {{ {rest}}}"
        offers.append(f"    {_quoted(place.path)}) {line} ;;")
    text = _BASH.format(
        shell=shell,
        steps="|".join(map(_quoted, _steps(places))),
        values="\n".join(values),
        places="\n".join(offers),
    )
    return text + ("complete -F _tollhouse tollhouse\n" if shell == "bash" else "")


def _reply(choice: Choice) -> str:
    if choice.words:
        return f'COMPREPLY=($(compgen -W "{" ".join(choice.words)}" -- "$cur")); '
    return 'COMPREPLY=($(compgen -f -- "$cur")); ' if choice.is_file else ""


def _zsh(places: Sequence[Place]) -> str:
    body = _bash(places, "zsh")
    return (
        f"#compdef tollhouse\n{body}autoload -U +X bashcompinit && bashcompinit\n"
        "complete -F _tollhouse tollhouse\n"
    )


# ---- fish

_FISH: Final = """\
# Completion of tollhouse for fish, made by `tollhouse completion fish`.
function __tollhouse_at
    set -l path ""
    for word in (commandline -opc)[2..-1]
        switch "$path $word"
            case {steps}
                set path (string trim -- "$path $word")
        end
    end
    test "$path" = "$argv[1]"
end
complete -c tollhouse -f
"""


def _fish(places: Sequence[Place]) -> str:
    lines = [_FISH.format(steps=" ".join(map(_quoted, _steps(places))))]
    for place in places:
        start = f"complete -c tollhouse -n '__tollhouse_at \"{place.path}\"'"
        lines += [f"{start} -a {name} -d {_told(text)}\n" for name, text in place.verbs.items()]
        for choice in (*place.options, *place.arguments):
            flags = [
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in choice.names
            ]
            if choice.words:
                flags.append(f"{'-x ' if choice.names else ''}-a {_quoted(' '.join(choice.words))}")
            elif choice.is_file:
                flags.append("-r -F" if choice.names else "-F")
            elif choice.names and choice.takes_value:
                flags.append("-x")
            if flags:
                lines.append(f"{start} {' '.join(flags)} -d {_told(choice.help)}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    """Return `text`, which holds no single quote, as one word of a shell."""
    return f"'{text}'"


def _told(text: str) -> str:
    """Return any text as one word of fish."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
