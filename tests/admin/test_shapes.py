"""What the admin API and the configuration are read with costs a start nothing."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from pydantic import BaseModel


def shapes(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for shape in base.__subclasses__():
        if shape.__module__.startswith("gateway."):
            yield shape
        yield from shapes(shape)


def test_what_validates_a_shape_is_built_when_it_is_first_needed() -> None:
    for room in ("gateway.admin.app", "gateway.config.model"):
        import_module(room)
    found = {*shapes(BaseModel)}
    assert len(found) > 150
    assert [shape for shape in found if not shape.model_config.get("defer_build")] == []
