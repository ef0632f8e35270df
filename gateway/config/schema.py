"""The JSON Schema that editors use, generated from the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.config.docstrings import Docstrings
from gateway.config.model import Config

SCHEMA_ID: Final = "https://tollhouse.invalid/schema/config/v1.json"
"""A name, not a place: the schema ships with the gateway."""

_PLACEHOLDER: Final = {"type": "string", "pattern": r"\$\{"}
"""What an editor sees where a number or choice comes from `${...}`."""


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration file, before interpolation."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": SCHEMA_ID,
        **_tidied(schema),
        "title": "Tollhouse configuration",
    }


class _Generator(GenerateJsonSchema):
    """Describes every field by its docstring, and lets `${...}` stand for every number, flag and choice."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._docstrings = Docstrings()

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Describe a section."""
        result = super().model_schema(schema)
        for name, text in self._docstrings.of(schema["cls"]).items():
            result["properties"].get(name, {}).setdefault("description", text)
        return result

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Describe a whole number."""
        return _or_placeholder(super().int_schema(schema))

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        """Describe a flag."""
        return _or_placeholder(super().bool_schema(schema))

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """Describe a choice."""
        return _or_placeholder(super().literal_schema(schema))


def _or_placeholder(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [schema, _PLACEHOLDER]}


def _tidied(value: Any) -> Any:
    """Join the lines of descriptions and drop the titles that only repeat a key."""
    if isinstance(value, Mapping):
        return {
            name: " ".join(item.split())
            if name == "description" and isinstance(item, str)
            else _tidied(item)
            for name, item in value.items()
            if not (name == "title" and isinstance(item, str))
        }
    return [_tidied(item) for item in value] if isinstance(value, list) else value
