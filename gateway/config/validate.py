"""From the tree to the typed model, with every mistake at its place.

Knows pydantic's errors and says them in our words. It must not know what a rule between sections
demands. What is broken is cut out, so that the rules still see everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.fields import section_at
from gateway.config.model import Config
from gateway.config.problems import Finding, KeyPath, Place, Report, did_you_mean, one_of
from gateway.config.tree import Node

_ROUNDS_MAX: Final = 8
"""Cutting out a value can make its parent incomplete; the model is five levels deep."""

_STAND_INS: Final[dict[str, object]] = {"version": 1, "peppers": {"current": "none"}}
"""What takes the place of a required section that is missing, so that the others can be checked."""

_KEY_ERROR: Final = "[key]"


def validate(root: Node, report: Report) -> tuple[Config | None, Node]:
    """Return the model of `root` and its tree, both without what is broken.

    The model is None when too little is left.

    Every mistake goes to `report`; a config that had any is good only for finding more of them.
    """
    report.broken += root.broken()
    root = _without(root, report.broken)
    for attempt in range(_ROUNDS_MAX):
        try:
            return Config.model_validate(root.plain()), root
        except ValidationError as caught:
            errors = caught.errors(include_url=False)
        if attempt == 0:
            for error in _innermost(errors):
                _tell(error, root, report)
        paths = [_culprit(error, root) for error in errors]
        report.broken += paths
        root = _without(root, paths)
    return None, root


class Located:
    """Where a path of the model leads in the tree: `steps` as the file spells them.

    `nodes` are the existing values from the root to the deepest; `rest` what does not exist.
    """

    def __init__(self, root: Node, path: Iterable[str | int]) -> None:
        self.nodes = [root]
        self.rest: list[str | int] = []
        for step in path:
            self._follow(step)

    def _follow(self, step: str | int) -> None:
        value = self.nodes[-1].value
        if self.rest:
            self.rest.append(step)
        elif child := _child(value, step):
            self.nodes.append(child)
        elif isinstance(value, dict) and isinstance(step, str) and step != _KEY_ERROR:
            self.rest.append(step)
        # Every other step is one that a shorthand left out, such as the index of a single entry.

    @property
    def node(self) -> Node:
        """The deepest value that exists."""
        return self.nodes[-1]

    @property
    def steps(self) -> KeyPath:
        """The path as the file spells it, with what is missing at its end."""
        return (*(node.name for node in self.nodes[1:]), *self.rest)

    def place(self, *, of_key: bool) -> Place:
        """Return where the value stands, or its key; for a missing value, the key of its parent."""
        return self.node.key_place if of_key or self.rest else self.node.place


def _child(value: object, step: str | int) -> Node | None:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int):
        return value[step] if step < len(value) else None
    return None


def report_findings(findings: Iterable[Finding], root: Node, report: Report) -> None:
    """Give each finding of a rule its place, unless it only follows from a known mistake."""
    for finding in findings:
        located = Located(root, finding.path)
        related = tuple(Located(root, path).steps for path in finding.related)
        finding = finding._replace(path=located.steps, related=related)
        if not report.is_known(finding):
            place = located.place(of_key=False)
            report.add(
                place,
                finding.path,
                finding.message,
                finding.hint,
                is_warning=finding.is_warning,
            )


def _innermost(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out lists that are called too short only because their entries are wrong."""
    paths = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short" or not any(_is_below(path, error["loc"]) for path in paths)
    ]


def _is_below(path: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(path) > len(other) and path[: len(other)] == other


def _tell(error: ErrorDetails, root: Node, report: Report) -> None:
    located = Located(root, error["loc"])
    if report.is_known(Finding(located.steps, "")):
        return
    if error["type"] == "missing" and not report.is_complete:
        return  # it may stand in the file that could not be read
    is_key = error["type"] in {"missing", "extra_forbidden"} or error["loc"][-1] == _KEY_ERROR
    message, hint = _explain(error, located)
    report.add(located.place(of_key=is_key), located.steps, message, hint)


def _explain(error: ErrorDetails, located: Located) -> tuple[str, str]:
    """Return message and hint."""
    kind, value = error["type"], located.node.value
    if kind == "extra_forbidden":
        return "unknown key", _hint_for_key(error["loc"])
    if value is None and kind.endswith("_type"):
        return "has no value", "write one, or remove the key to get the default"
    if kind == "literal_error":
        return _explain_choice(error.get("ctx", {})["expected"], value)
    if kind == "string_type":
        is_scalar = isinstance(value, int | float)
        return "must be text", "put the value in quotes" if is_scalar else ""
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, "), ""
    if explain := _MESSAGES.get(kind):
        return explain(error.get("ctx", {})), ""
    return error["msg"].replace("Input should", "must").strip(), ""


def _explain_choice(expected: str, value: object) -> tuple[str, str]:
    message = f"must be {expected}".replace("False", "false")  # as YAML spells it
    if isinstance(value, str):
        return message, did_you_mean(
            value, expected.replace(" or ", ", ").replace("'", "").split(", ")
        )
    return message, ""


def _hint_for_key(loc: Sequence[int | str]) -> str:
    section = section_at(loc[:-1])
    if section is None:
        return ""
    return did_you_mean(str(loc[-1]), section.model_fields) or one_of(section.model_fields)


_MESSAGES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "missing": lambda _: "required key is missing",
    "bool_type": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a mapping",
    "mapping_type": lambda _: "must be a mapping",
    "model_type": lambda _: "must be a mapping",
    "too_long": lambda ctx: f"must have at most {ctx['max_length']} entries",
    "too_short": lambda _: "must not be empty",
    "string_too_short": lambda _: "must not be empty",
    "string_too_long": lambda ctx: f"must have at most {ctx['max_length']} characters",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']}",
}


def _culprit(error: ErrorDetails, root: Node) -> KeyPath:
    """Return the path to cut out: the value, or the entry in which something is missing."""
    located = Located(root, error["loc"])
    if error["type"] == "missing" and len(located.nodes) == 1:
        return located.steps[:1]
    return located.steps[: len(located.nodes) - 1]


def _without(root: Node, paths: Iterable[KeyPath]) -> Node:
    """Return the tree without what stands at `paths`; names and places of the rest are kept."""
    cut = set(paths)
    if not cut:
        return root
    result = _copy(root, (), cut)
    assert isinstance(result.value, dict)
    for name, stand_in in _STAND_INS.items():
        if (name,) in cut:
            result.value[name] = _as_node(name, stand_in, root.place)
    return result


def _copy(node: Node, path: KeyPath, cut: set[KeyPath]) -> Node:
    kept = {child.name: (*path, child.name) for child in node.children()}
    value = node.value
    if isinstance(value, dict):
        value = {
            k: _copy(v, kept[v.name], cut) for k, v in value.items() if kept[v.name] not in cut
        }
    elif isinstance(value, list):
        value = [_copy(v, kept[v.name], cut) for v in value if kept[v.name] not in cut]
    return Node(node.name, node.key_place, node.place, value)


def _as_node(name: str, value: object, place: Place) -> Node:
    if isinstance(value, dict):
        return Node(name, place, place, {k: _as_node(k, v, place) for k, v in value.items()})
    assert value is None or isinstance(value, str | int)
    return Node(name, place, place, value)
