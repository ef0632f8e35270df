"""Tries a configuration before it serves anybody: a mistake in it, or in us, must not meet a client first.

Knows what every request of that configuration relies on. It contacts nobody and draws on nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.assembly.edition import Edition
from gateway.domain.denial import Denial, Reason

_REQUEST_ID = b"req_selftest"


def faults(edition: Edition) -> list[str]:
    """Return what would break, one sentence each; none when the edition may serve. Safe in a thread."""
    found: list[str] = []
    for test in (_routes, _voices, _key_formats):
        try:
            found += test(edition)
        except Exception as error:  # noqa: BLE001 - whatever breaks here would break a request
            found.append(f"self-test: {test.__name__.strip('_')}: {error!r}")
    return found


def _routes(edition: Edition) -> Iterator[str]:
    """Every route leads somewhere, for callers of every environment, and has a voice."""
    generation = edition.generation
    environments = ("", *edition.config.environments)
    for section in edition.config.routes:
        if section.name not in generation.voices:
            yield f"route {section.name}: nothing says how its errors look"
        if section.handler != "proxy":
            continue
        for environment in environments:
            if (section.upstream, environment) not in generation.upstreams:
                yield f"route {section.name}: no upstream for environment {environment!r}"


def _voices(edition: Edition) -> Iterator[str]:
    """Every reason can be told in every dialect."""
    generation = edition.generation
    dialects = {id(voice.dialect): voice.dialect for voice in generation.voices.values()}
    if generation.problem is not None:
        dialects[id(generation.problem)] = generation.problem
    for dialect in dialects.values():
        for reason in Reason:
            denial = Denial(reason=reason, retry_after_seconds=1)
            if not dialect.render(denial, _REQUEST_ID, 0.0).block:
                yield f"dialect {dialect.name}: {reason} renders to nothing"


def _key_formats(edition: Edition) -> Iterator[str]:
    """A key of every format and environment is read as what it was minted as, and hashed."""
    formats = edition.draft.formats
    for name, section in edition.config.key_formats.items():
        key_format = formats.get(name)
        if key_format is None:
            yield f"key format {name} is missing"
            continue
        for environment in section.environments if section.prefix else ():
            token = key_format.mint(environment, "A" * key_format.random_length).encode()
            reading = formats.read(token)
            if isinstance(reading, Reason) or reading.environment != environment:
                yield f"key format {name}: a key of environment {environment} is not read as one"
            edition.draft.peppers.digest(token)
