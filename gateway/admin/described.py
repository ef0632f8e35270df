"""What a handler of the admin API reads and answers, declared next to it; the OpenAPI document is made of that.

Knows how a description is written and read. It must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel

H = TypeVar("H", bound=Callable[..., object])

_DESCRIPTION: Final = "description"
NO_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a handler reads and answers.

    `answer` is the shape of the answer, or of each entry of a page. An act changes something: it may be tried with
    `dry_run`. A change also takes `If-Match` and says how far it has reached. What is `repeatable` takes an
    `Idempotency-Key`. `query` are further parameters; `schemas` says what they are where their name alone does not.
    `status` is that of success; `errors` are refusals that do not follow from the rest;
    `media` what else than JSON can be asked for; without an `answer`, all that there is.
    """

    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    status: int = 200
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    is_page: bool = False
    is_act: bool = False
    is_change: bool = False
    is_repeatable: bool = False


NOTHING_SAID: Final = Description()


def describes(description: Description) -> Callable[[H], H]:
    """Declare what a handler reads and answers."""

    def declare(handler: H) -> H:
        setattr(handler, _DESCRIPTION, description)
        return handler

    return declare


def shows(answer: type[BaseModel], *query: str) -> Callable[[H], H]:
    """Declare a handler that answers with one object."""
    return describes(Description(answer=answer, query=query))


def lists(
    answer: type[BaseModel],
    *query: str,
    sorts: tuple[str, ...] = (),
    schemas: Mapping[str, Mapping[str, Any]] = NO_SCHEMAS,
    errors: tuple[int, ...] = (),
) -> Callable[[H], H]:
    """Declare a handler that answers with a page of a list; `limit`, `cursor` and, by the fields `sorts`, `sort` are
    understood.
    """
    sort: dict[str, Any] = {"sort": {"enum": [*ways(sorts)]}} if sorts else {}
    listed = Description(
        answer=answer,
        query=(*query, *sort, "limit", "cursor"),
        schemas={**schemas, **sort},
        errors=(*errors, 422) if sorts else errors,
        is_page=True,
    )
    return describes(listed)


def ways(sorts: Iterable[str]) -> Iterator[str]:
    """Yield how a list can be ordered by these fields: each from its least value on, or from its greatest."""
    for name in sorts:
        yield name
        yield f"-{name}"


def creates(body: type[BaseModel], answer: type[BaseModel]) -> Callable[[H], H]:
    """Declare a handler that makes something, once however often it is asked."""
    made = Description(body=body, answer=answer, status=201, is_act=True, is_repeatable=True)
    return describes(made)


def changes(body: type[BaseModel], answer: type[BaseModel]) -> Callable[[H], H]:
    """Declare a handler that changes one record."""
    return describes(Description(body=body, answer=answer, is_act=True, is_change=True))


def description_of(handler: object) -> Description:
    """Return what `handler` declares."""
    description: Any = getattr(handler, _DESCRIPTION, NOTHING_SAID)
    return description if isinstance(description, Description) else NOTHING_SAID
