"""Every key of the configuration, read off the model: for hints, the reference and the tests.

Knows how the model is built from sections, mappings and lists. It must not know any single key.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.docstrings import Docstrings
from gateway.config.model import Config
from gateway.config.sections.base import Applies, OneOrMany, Section
from gateway.config.sections.values import Label

ANY_NAME: Final = "<name>"
"""Stands in a path for a name that the user chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: `path` like `routes[].match.path` or `plans.<name>.rate`; `default` empty if
    required."""

    path: str
    type: str
    default: str
    applies: Applies
    description: str
    is_section: bool


def keys(
    section: type[Section] = Config, prefix: str = "", docstrings: Docstrings | None = None
) -> Iterator[Key]:
    """Yield every key below `section`, parents before children, in the order of the model."""
    docstrings = docstrings or Docstrings()
    described = docstrings.of(section)
    for name, field in section.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        inner, suffix = _inside(field.annotation, field.metadata)
        yield Key(
            path=path,
            type=_type_name(field.annotation, field.metadata),
            default=_default(field),
            applies=applies_to(section, name),
            description=" ".join(described.get(name, "").split()),
            is_section=inner is not None,
        )
        if inner is not None:
            yield from keys(inner, path + suffix, docstrings)
    if extra := section.__annotations__.get("__pydantic_extra__"):
        yield Key(
            path=f"{prefix}.{ANY_NAME}",
            type="secret" if "Secret" in str(extra) else "any",
            default="",
            applies=section.applies,
            description=" ".join((section.__doc__ or "").split()),
            is_section=False,
        )


def section_at(path: Iterable[str | int]) -> type[Section] | None:
    """Return the section that the value at `path` has to be, or None."""
    annotation: Any = Config
    for step in path:
        section = _section(annotation)
        if section is not None:
            field = section.model_fields.get(str(step))
            annotation = field.annotation if field else None
        else:
            arguments = get_args(_plain(annotation))
            annotation = arguments[-1 if isinstance(step, str) else 0] if arguments else None
    return _section(annotation)


def _plain(annotation: Any) -> Any:
    """Return the annotation without `Annotated` and `| None`."""
    while metadata := getattr(annotation, "__metadata__", None):
        annotation = annotation.__origin__
        del metadata
    if get_origin(annotation) in {Union, types.UnionType}:
        return _plain(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _section(annotation: Any) -> type[Section] | None:
    plain = _plain(annotation)
    return plain if isinstance(plain, type) and issubclass(plain, Section) else None


def _inside(annotation: Any, metadata: Iterable[Any]) -> tuple[type[Section] | None, str]:
    """Return the section within a field, and what its path adds: nothing, `.<name>` or `[]`."""
    plain = _plain(annotation)
    if section := _section(plain):
        return section, ""
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is tuple:
        short = any(isinstance(item, OneOrMany) for item in metadata)
        return _section(arguments[0]), "" if short else "[]"
    if origin is not None and issubclass_of(origin, Mapping):
        return _section(arguments[1]), f".{ANY_NAME}"
    return None, ""


def issubclass_of(candidate: Any, base: type) -> bool:
    """Tell whether `candidate` is a class below `base`."""
    return isinstance(candidate, type) and issubclass(candidate, base)


def applies_to(section: type[Section], name: str) -> Applies:
    """Return when a changed value of the field `name` counts: what the field says, else its section."""
    extra = section.model_fields[name].json_schema_extra
    said = extra.get("x-applies") if isinstance(extra, dict) else None
    return "restart" if said == "restart" else "hot" if said == "hot" else section.applies


def _label(metadata: Iterable[Any]) -> str:
    return next((item.text for item in metadata if isinstance(item, Label)), "")


def _type_name(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    label = _label([*metadata]) or _label(getattr(annotation, "__metadata__", ()))
    if label:
        return label
    if get_origin(annotation) in {Union, types.UnionType}:
        named = [_type_name(a) for a in get_args(annotation) if a is not type(None)]
        return " or ".join([*named, "null"])
    plain = _plain(annotation)
    origin, arguments = get_origin(plain), get_args(plain)
    if origin is Literal:
        return " \\| ".join(f"`{show(value)}`" for value in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if issubclass_of(origin, Mapping):
        return f"mapping of name to {_type_name(arguments[1])}"
    return "section" if _section(plain) else {str: "text", bool: "flag"}.get(plain, "any")


def _default(field: FieldInfo) -> str:
    """Return the default as YAML shows it; empty for a required key."""
    if field.is_required():
        return ""
    return show(field.get_default(call_default_factory=True, validated_data={}))


def show(value: object) -> str:
    """Return a default in YAML's flow style; a section shows as `{}` because its keys follow."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(show(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Section):
        given = {name: getattr(value, name) for name in value.model_fields_set}
        return show(dict(sorted(given.items())))
    text = str(value)
    return text if text and text[0].isalnum() else f'"{text}"'
