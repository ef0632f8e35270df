"""What every section of the configuration has in common: closed, frozen, documented.

Knows pydantic. It must not know YAML, files or what a section is about.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Applies = Literal["hot", "restart"]
"""When a changed value counts: at the next reload, or only after a restart."""

RESTART: Final[JsonDict] = {"x-applies": "restart"}
"""Marks a field of a hot section: `Field(..., json_schema_extra=RESTART)`."""


class Section(BaseModel):
    """A mapping of the file. The docstring under a field is its description everywhere (`config.docstrings`).

    What validates it is built when it is first needed: once for the whole file, and not at all where a checked
    configuration is only handed on, as to a worker.

    `applies` holds for every field of the section; a field may say otherwise with
    `json_schema_extra={"x-applies": ...}`.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )
    applies: ClassVar[Applies] = "hot"
    may_be_empty: ClassVar[bool] = True
    """Whether a key without a value (all keys below it commented out) means the defaults."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        return {} if value is None and cls.may_be_empty else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        result = handler(schema)
        mapping = handler.resolve_ref_schema(result)
        for field in mapping.get("properties", {}).values():
            field.setdefault("x-applies", cls.applies)
        if cls.may_be_empty and mapping.get("type") == "object":
            mapping["type"] = ["object", "null"]
        return result


class Shorthand:
    """Lets a bare list stand for a mapping with only `key`: `[a, b]` means `{key: [a, b]}`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def _expand(self, value: Any) -> Any:
        return {self.key: value} if isinstance(value, list | tuple) else value

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        full = handler(schema)
        short = handler.resolve_ref_schema(full)["properties"][self.key]
        bare = {name: short[name] for name in ("type", "items") if name in short}
        return {"anyOf": [full, bare]}


class FromText:
    """Lets a bare text stand for a mapping with only `key`: `x` means `{key: x}`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def _expand(self, value: Any) -> Any:
        return {self.key: value} if isinstance(value, str) else value

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string"}]}


class OneOrMany:
    """Lets a single entry stand for a list of one."""

    @staticmethod
    def _expand(value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}
