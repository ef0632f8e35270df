"""The JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config.fields import keys
from gateway.config.schema import config_schema

SCHEMA = config_schema()


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from walk(child)
    elif isinstance(value, list):
        for child in value:
            yield from walk(child)


def test_schema_names_its_draft_and_itself() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"].startswith("https://")
    assert SCHEMA["required"] == ["version", "peppers"]
    assert SCHEMA["additionalProperties"] is False


def described(field: dict[str, Any]) -> bool:
    """Tell whether a field that only refers to a section gets the description from there."""
    return bool(SCHEMA["$defs"][field["$ref"].removeprefix("#/$defs/")].get("description"))


def test_every_property_is_described_and_says_when_it_applies() -> None:
    count = 0
    for mapping in walk(SCHEMA):
        for name, field in mapping.get("properties", {}).items():
            assert field.get("description") or described(field), name
            assert field.get("x-applies") in {"hot", "restart"}, name
            count += 1
    assert count > 100
    assert count <= len(list(keys()))


def test_every_reference_resolves() -> None:
    for mapping in walk(SCHEMA):
        if reference := mapping.get("$ref"):
            assert reference.removeprefix("#/$defs/") in SCHEMA["$defs"]


def test_placeholder_may_stand_for_numbers_flags_and_choices() -> None:
    public = SCHEMA["$defs"]["PublicListener"]["properties"]
    placeholder = {"type": "string", "pattern": r"\$\{"}
    assert placeholder in public["backlog"]["anyOf"]
    assert placeholder in public["proxy_protocol"]["anyOf"]
    assert placeholder in SCHEMA["$defs"]["Dialect"]["properties"]["errors"]["anyOf"]
    assert {"type": "string"} in public["head_timeout"]["anyOf"]


def test_shorthands_are_part_of_the_schema() -> None:
    bundles = SCHEMA["$defs"]["Scopes"]["properties"]["bundles"]
    (bundle,) = bundles["patternProperties"].values()
    assert [part.get("$ref") or part.get("type") for part in bundle["anyOf"]] == [
        "#/$defs/Bundle",
        "array",
    ]
    rate = SCHEMA["$defs"]["Plan"]["properties"]["rate"]
    assert rate["anyOf"][0] == {"$ref": "#/$defs/RateLimit"}


def test_section_may_be_empty_unless_that_would_open_something() -> None:
    assert SCHEMA["$defs"]["Store"]["type"] == ["object", "null"]
    assert SCHEMA["$defs"]["Plan"]["type"] == "object"
    assert SCHEMA["$defs"]["IpAllowlist"]["type"] == "object"


def test_schema_holds_no_default_secret() -> None:
    assert "default" not in SCHEMA["$defs"]["Peppers"]["additionalProperties"]
