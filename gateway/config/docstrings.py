"""The docstring under each field of a section: its description in the reference and in the JSON Schema.

Reads the sources, and only for whoever describes the configuration: a gateway that starts has no use for words.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from itertools import pairwise

from pydantic import BaseModel


class Docstrings:
    """The docstrings of fields; each module is read once."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[str, dict[str, str]]] = {}

    def of(self, section: type[BaseModel]) -> Mapping[str, str]:
        """Return the docstrings by the names of the fields, also of those that `section` inherits."""
        found: dict[str, str] = {}
        for each in reversed(section.__mro__):
            if each is not BaseModel and issubclass(each, BaseModel):
                found |= self._module(each.__module__).get(each.__name__, {})
        return found

    def _module(self, name: str) -> dict[str, dict[str, str]]:
        if name not in self._modules:
            tree = ast.parse(inspect.getsource(sys.modules[name]))
            classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
            self._modules[name] = {each.name: _fields(each) for each in classes}
        return self._modules[name]


def _fields(section: ast.ClassDef) -> dict[str, str]:
    """Return what stands as a text right below a field."""
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(section.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
